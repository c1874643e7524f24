// Decoding is the quickest check: it is tried first where the profile is small enough to be built for that,
// and the walker looks at what is larger, or was refused: it has the sentences. Both accept the same (a fuzz
// target compares them).
#include "profile/check.h"

#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/text.h"
#include "profile/decode.h"
#include "profile/inflate.h"
#include "profile/legacy.h"
#include "profile/walk.h"
#include "base/banned.h"

#define QUICK_BYTES ((size_t)4 * KP_MIB)

static void print(char *out, size_t size, const struct kp_profile *p, uint32_t string)
{
    kp_printable(out, size, p->strings[string].data, p->strings[string].len);
}

static struct kp_profile_summary sum_up(const struct kp_profile *p, size_t len)
{
    struct kp_profile_summary s = {.n_samples = p->n_samples,
        .n_locations = p->n_locations,
        .n_functions = p->n_functions,
        .n_mappings = p->n_mappings,
        .n_strings = p->n_strings,
        .n_sample_types = p->n_sample_types,
        .inflated_bytes = len,
        .time_ns = p->time_ns,
        .duration_ns = p->duration_ns,
        .period = p->period};
    if (p->n_sample_types > 0) {
        print(s.first_type, sizeof s.first_type, p, p->sample_types[0].type);
        print(s.first_unit, sizeof s.first_unit, p, p->sample_types[0].unit);
    }
    print(s.default_type, sizeof s.default_type, p, p->default_type);
    if (p->n_mappings > 0)
        print(s.build_id, sizeof s.build_id, p, p->mappings[0].build_id);
    return s;
}

// The bytes as kp_profile_inflate() gives them; taken if it is a profile.
static bool check_quickly(
    uint8_t **bytes, size_t len, const struct kp_profile_limits *limits, struct kp_profile_summary *ret)
{
    kp_auto_profile *p = NULL;
    if (len > QUICK_BYTES || kp_profile_decode_proto(*bytes, len, limits, &p) != 0)
        return false;
    *bytes = NULL; // the profile's now
    *ret = sum_up(p, len);
    return true;
}

static int check(const void *data, size_t len, const struct kp_profile_limits *limits,
    struct kp_profile_summary *ret, struct kp_error *err)
{
    kp_auto_free uint8_t *bytes = NULL;
    struct kp_error why = {0};
    const struct kp_profile_limits l = kp_profile_limits_of(limits);
    if (kp_profile_is_gzip(data, len) || len <= QUICK_BYTES) {
        size_t n;
        int rc = kp_profile_inflate(data, len, limits, &bytes, &n, err);
        if (rc != 0)
            return rc;
        if (check_quickly(&bytes, n, &l, ret))
            return 0;
        data = bytes;
        len = n;
    } else if (len > l.max_inflated_bytes) {
        return kp_fail(
            err, KP_LIMIT, "the profile has %zu bytes, at most %zu are allowed", len, l.max_inflated_bytes);
    }
    if (len == 0)
        return kp_fail(err, KP_INVALID, "not a pprof profile: there are no bytes");
    int rc = kp_profile_walk(data, len, &l, ret, &why);
    if (rc == KP_INVALID)
        rc = kp_profile_check_legacy(data, len, limits, ret, &why);
    return rc == 0 ? 0 : kp_fail(err, rc, "%s", why.text);
}

enum kp_profile_verdict kp_profile_check(const void *data, size_t len, const struct kp_profile_limits *limits,
    struct kp_profile_summary *ret, struct kp_error *err)
{
    struct kp_profile_summary s = {0};
    int rc = check(data, len, limits, &s, err);
    if (rc == KP_LIMIT)
        return KP_PROFILE_TOO_LARGE;
    if (rc != 0)
        return KP_PROFILE_INVALID;
    if (ret)
        *ret = s;
    if (s.n_samples > 0)
        return KP_PROFILE_VALID;
    kp_fail(err, KP_INVALID, "the profile has no samples");
    return KP_PROFILE_EMPTY;
}
