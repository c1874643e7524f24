// gzip in one go with libdeflate, sized by the trailer; whatever that cannot do (several members, a trailer
// that lies, a broken stream that deserves a better sentence) goes through zlib piece by piece. Memory never
// exceeds the caps.
#include "profile/inflate.h"

#include <endian.h>
#include <libdeflate.h>
#include <string.h>
#include <zlib.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "profile/quick.h"
#include "base/banned.h"

#define GZIP_MIN       18 // header and trailer
#define RATIO_FREE     ((size_t)(8 * KP_MIB))
#define FIRST_STREAMED ((size_t)(64 * KP_KIB))
#define TOO_MUCH       "the profile inflates to more than %zu bytes"

struct kp_profile_limits kp_profile_limits_of(const struct kp_profile_limits *limits)
{
    struct kp_profile_limits l = limits ? *limits : (struct kp_profile_limits){0};
    l.max_inflated_bytes = l.max_inflated_bytes ? l.max_inflated_bytes : KP_MAX_INFLATED_BYTES;
    l.max_ratio = l.max_ratio ? l.max_ratio : KP_MAX_INFLATE_RATIO;
    l.max_entities = l.max_entities ? l.max_entities : 4000000;
    l.max_depth = l.max_depth ? l.max_depth : 65536;
    l.max_labels = l.max_labels ? l.max_labels : 256;
    return l;
}

bool kp_profile_is_gzip(const void *data, size_t len)
{
    const uint8_t *p = data;
    return len >= 2 && p[0] == 0x1f && p[1] == 0x8b;
}

size_t kp_profile_inflate_cap(size_t len, const struct kp_profile_limits *limits)
{
    const struct kp_profile_limits l = kp_profile_limits_of(limits);
    size_t cap = l.max_inflated_bytes;
    size_t ratio = l.max_ratio;
    if (len > SIZE_MAX / ratio)
        return cap;
    size_t by_ratio = len * ratio > RATIO_FREE ? len * ratio : RATIO_FREE;
    return by_ratio < cap ? by_ratio : cap;
}

// What the trailer says of the last member's size.
static size_t told_size(const uint8_t *data, size_t len)
{
    uint32_t trailer;
    memcpy(&trailer, data + len - sizeof trailer, sizeof trailer);
    return le32toh(trailer);
}

// Fails when libdeflate is not the tool; the caller then streams.
static bool inflate_whole(const uint8_t *data, size_t len, uint8_t **ret, size_t *ret_len)
{
    size_t size = told_size(data, len);
    struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
    if (d == NULL)
        return false;
    uint8_t *out = kp_alloc(size + KP_QUICK_SLACK);
    size_t used = 0;
    size_t got = 0;
    enum libdeflate_result rc = libdeflate_gzip_decompress_ex(d, data, len, out, size, &used, &got);
    libdeflate_free_decompressor(d);
    if (rc != LIBDEFLATE_SUCCESS || used != len) {
        kp_free(out);
        return false;
    }
    *ret = out;
    *ret_len = got;
    return true;
}

struct stream {
    z_stream z;
    uint8_t *out;
    size_t len, room, cap;
    bool only_looks; // nothing is kept
    size_t passed;   // of what was not
};

static int grow(struct stream *s, struct kp_error *err)
{
    if (s->only_looks && s->room > 0) {
        s->passed += s->len;
        s->len = 0;
        return s->passed > s->cap ? kp_fail(err, KP_LIMIT, TOO_MUCH, s->cap) : 0;
    }
    if (s->room >= s->cap)
        return kp_fail(err, KP_LIMIT, TOO_MUCH, s->cap);
    s->room = s->room == 0 ? FIRST_STREAMED : 2 * s->room;
    if (s->room > s->cap)
        s->room = s->cap;
    s->out = kp_realloc(s->out, s->room + KP_QUICK_SLACK);
    return 0;
}

// One gzip member, from z.next_in on.
static int inflate_member(struct stream *s, struct kp_error *err)
{
    for (;;) {
        if (s->len == s->room) {
            // A stream that ends exactly here still has to be asked for its end: give it one byte of room to
            // fail on.
            uint8_t probe;
            s->z.next_out = &probe;
            s->z.avail_out = 1;
            int rc = inflate(&s->z, Z_NO_FLUSH);
            if (rc == Z_STREAM_END && s->z.avail_out == 1)
                return 0;
            if (s->z.avail_out == 0) {
                int failed = grow(s, err);
                if (failed != 0)
                    return failed;
                s->out[s->len++] = probe;
                if (rc == Z_STREAM_END)
                    return 0;
            }
            if (rc != Z_OK)
                return kp_fail(
                    err, KP_INVALID, "gzip data is %s", rc == Z_BUF_ERROR ? "cut short" : "broken");
            continue;
        }
        size_t room = s->room - s->len;
        s->z.next_out = s->out + s->len;
        s->z.avail_out = room > KP_MAX_INFLATED_BYTES ? KP_MAX_INFLATED_BYTES : (uInt)room;
        uInt before = s->z.avail_out;
        int rc = inflate(&s->z, Z_NO_FLUSH);
        s->len += before - s->z.avail_out;
        if (rc == Z_STREAM_END)
            return 0;
        if (rc != Z_OK)
            return kp_fail(err, KP_INVALID, "gzip data is %s%s%s", rc == Z_BUF_ERROR ? "cut short" : "broken",
                s->z.msg ? ": " : "", s->z.msg ? s->z.msg : "");
        if (s->z.avail_in == 0 && s->z.avail_out != 0)
            return kp_fail(err, KP_INVALID, "gzip data is cut short");
    }
}

static int inflate_members(struct stream *s, struct kp_error *err)
{
    while (s->z.avail_in > 0) {
        if (!kp_profile_is_gzip(s->z.next_in, s->z.avail_in))
            return kp_fail(err, KP_INVALID, "%u bytes that are not gzip follow the gzip data", s->z.avail_in);
        int rc = inflate_member(s, err);
        if (rc != 0)
            return rc;
        inflateReset(&s->z);
    }
    return 0;
}

static int inflate_streamed(const uint8_t *data, size_t len, size_t cap, bool only_looks, uint8_t **ret,
    size_t *ret_len, struct kp_error *err)
{
    if (len > UINT32_MAX)
        return kp_fail(err, KP_LIMIT, "%zu bytes are more than one profile may have", len);
    struct stream s = {.cap = cap, .only_looks = only_looks};
    if (inflateInit2(&s.z, 15 + 16) != Z_OK)
        return kp_fail(err, KP_INTERNAL, "cannot set up zlib");
    s.z.next_in = (uint8_t *)(uintptr_t)data;
    s.z.avail_in = (uInt)len;
    int rc = grow(&s, err);
    if (rc == 0)
        rc = inflate_members(&s, err);
    inflateEnd(&s.z);
    if (rc == 0 && only_looks)
        rc = kp_fail(err, KP_INVALID, "gzip data is broken");
    if (rc != 0) {
        kp_free(s.out);
        return rc;
    }
    *ret = s.out;
    *ret_len = s.len;
    return 0;
}

static int inflate_any(const void *data, size_t len, const struct kp_profile_limits *limits, uint8_t **ret,
    size_t *ret_len, struct kp_error *err)
{
    size_t cap = kp_profile_inflate_cap(len, limits);
    if (kp_profile_is_gzip(data, len)) {
        if (len < GZIP_MIN)
            return kp_fail(err, KP_INVALID, "gzip data is cut short");
        // true, or broken: which of them costs no memory to find out
        bool too_much = told_size(data, len) > cap;
        if (!too_much && inflate_whole(data, len, ret, ret_len))
            return 0;
        return inflate_streamed(data, len, cap, too_much, ret, ret_len, err);
    }
    size_t max = kp_profile_limits_of(limits).max_inflated_bytes;
    if (len > max)
        return kp_fail(err, KP_LIMIT, "the profile has %zu bytes, at most %zu are allowed", len, max);
    *ret = kp_alloc(len + KP_QUICK_SLACK);
    if (len > 0)
        memcpy(*ret, data, len);
    *ret_len = len;
    return 0;
}

int kp_profile_inflate(const void *data, size_t len, const struct kp_profile_limits *limits, uint8_t **ret,
    size_t *ret_len, struct kp_error *err)
{
    int rc = inflate_any(data, len, limits, ret, ret_len, err);
    if (rc == 0)
        memset(*ret + *ret_len, 0, KP_QUICK_SLACK);
    return rc;
}
