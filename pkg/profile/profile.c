#include "profile/profile.h"

#include <string.h>

#include "base/alloc.h"
#include "profile/decode.h"
#include "profile/legacy.h"
#include "base/banned.h"

struct kp_profile *kp_profile_new(void)
{
    struct kp_arena *arena = NULL;
    struct kp_profile *p = KP_NEW(struct kp_profile);
    p->strings = KP_ARENA_ARRAY(&arena, struct kp_str, 1);
    p->strings[0].data = "";
    p->n_strings = 1;
    p->arena = arena;
    return p;
}

void kp_profile_free(struct kp_profile *profile)
{
    if (profile == NULL)
        return;
    kp_arena_free(profile->arena);
    kp_free(profile->buffers.bytes);
    kp_free(profile->buffers.tables);
    kp_free(profile->buffers.frames);
    kp_free(profile->buffers.labels);
    kp_free(profile->buffers.lines);
    kp_free(profile);
}

void kp_profile_free_ptr(struct kp_profile **profile)
{
    kp_profile_free(*profile);
}

bool kp_profile_str_is(const struct kp_profile *profile, uint32_t at, const char *text)
{
    size_t len = strlen(text);
    return profile->strings[at].len == len && memcmp(profile->strings[at].data, text, len) == 0;
}

int kp_profile_type_index(const struct kp_profile *p, const char *type)
{
    if (type && type[0]) {
        for (uint32_t i = 0; i < p->n_sample_types; i++)
            if (kp_profile_str_is(p, p->sample_types[i].type, type))
                return (int)i;
        return -1;
    }
    for (uint32_t i = 0; p->default_type != 0 && i < p->n_sample_types; i++) {
        if (kp_str_equal(p->strings[p->default_type], p->strings[p->sample_types[i].type]))
            return (int)i;
    }
    return (int)p->n_sample_types - 1;
}

int64_t kp_profile_total(const struct kp_profile *profile, uint32_t type)
{
    uint64_t sum = 0; // wraps instead of overflowing
    for (uint32_t i = 0; i < profile->n_samples; i++)
        sum += (uint64_t)profile->values[(size_t)i * profile->n_sample_types + type];
    return (int64_t)sum;
}

static int say_why(
    const void *data, size_t len, const struct kp_profile_limits *limits, int code, struct kp_error *err)
{
    struct kp_error why = {0};
    enum kp_profile_verdict verdict = kp_profile_check(data, len, limits, NULL, &why);
    if (verdict == KP_PROFILE_TOO_LARGE)
        return kp_fail(err, KP_LIMIT, "%s", why.text);
    if (verdict == KP_PROFILE_INVALID)
        return kp_fail(err, KP_INVALID, "%s", why.text);
    if (code == KP_LIMIT)
        return kp_fail(err, KP_LIMIT, "profile has too many frames, labels or inlined lines in all");
    return kp_fail(err, KP_INVALID, "not a pprof profile");
}

int kp_profile_decode(const void *data, size_t len, const struct kp_profile_limits *limits,
    struct kp_profile **ret, struct kp_error *err)
{
    uint8_t *bytes = NULL;
    size_t n = 0;
    int rc = kp_profile_inflate(data, len, limits, &bytes, &n, err);
    if (rc != 0)
        return rc;
    int code = n > 0 ? kp_profile_decode_proto(bytes, n, limits, ret) : KP_INVALID;
    if (code == 0)
        return 0;
    struct kp_error why = {0};
    rc = kp_profile_decode_legacy(bytes, n, limits, ret, &why);
    kp_free(bytes);
    if (rc == KP_NOT_FOUND)
        return say_why(data, len, limits, code, err);
    return rc == 0 ? 0 : kp_fail(err, rc, "%s", why.text);
}
