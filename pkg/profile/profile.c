#include "profile/profile.h"

#include <string.h>

#include "base/alloc.h"
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
    kp_free(profile->buffer);
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
