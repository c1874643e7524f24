// Sample types that several profiles share.
#include <string.h>

#include "base/alloc.h"
#include "profile/filter.h"
#include "base/banned.h"

static uint32_t index_of(const struct kp_profile *p, struct kp_str type)
{
    uint32_t i = 0;
    while (i < p->n_sample_types && !kp_str_equal(p->strings[p->sample_types[i].type], type))
        i++;
    return i;
}

static bool all_have(struct kp_profile *const *profiles, size_t n, struct kp_str type)
{
    for (size_t i = 0; i < n; i++)
        if (index_of(profiles[i], type) == profiles[i]->n_sample_types)
            return false;
    return true;
}

// from: of each new type, where it was; n_new of them.
static void take_types(struct kp_profile *p, const uint32_t *from, uint32_t n_new)
{
    uint32_t n_old = p->n_sample_types;
    struct kp_str wanted = p->strings[p->default_type];
    struct kp_value_type *types = KP_ARENA_ARRAY(&p->arena, struct kp_value_type, n_new);
    kp_auto_free int64_t *row = KP_NEW_ARRAY(int64_t, n_new);
    p->default_type = p->sample_types[from[0]].type;
    for (uint32_t t = 0; t < n_new; t++) {
        types[t] = p->sample_types[from[t]];
        if (kp_str_equal(p->strings[types[t].type], wanted))
            p->default_type = types[t].type;
    }
    for (uint32_t i = 0; i < p->n_samples; i++) {
        for (uint32_t t = 0; t < n_new; t++)
            row[t] = p->values[(size_t)i * n_old + from[t]];
        memcpy(p->values + (size_t)i * n_new, row, n_new * sizeof *row);
    }
    p->sample_types = types;
    p->n_sample_types = n_new;
}

int kp_profile_common_types(struct kp_profile *const *profiles, size_t n, struct kp_error *err)
{
    if (n == 0)
        return 0;
    const struct kp_profile *first = profiles[0];
    uint32_t n_common = 0;
    kp_auto_free struct kp_str *common = KP_NEW_ARRAY(struct kp_str, (size_t)first->n_sample_types + 1);
    kp_auto_free uint32_t *from = KP_NEW_ARRAY(uint32_t, (size_t)first->n_sample_types + 1);
    for (uint32_t t = 0; t < first->n_sample_types; t++) {
        struct kp_str type = first->strings[first->sample_types[t].type];
        if (index_of(first, type) == t && all_have(profiles, n, type)) // one of a kind
            common[n_common++] = type;
    }
    if (n_common == 0)
        return kp_fail(err, KP_CONFLICT, "the profiles have no sample type in common");
    for (size_t i = 0; i < n; i++) {
        bool change = n_common != profiles[i]->n_sample_types;
        for (uint32_t t = 0; t < n_common; t++) {
            from[t] = index_of(profiles[i], common[t]);
            change = change || from[t] != t;
        }
        if (change)
            take_types(profiles[i], from, n_common);
    }
    return 0;
}
