#include "policy/policy.h"

#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/banned.h"

struct kp_policy *kp_policy_ref(const struct kp_policy *policy)
{
    struct kp_policy *p = (struct kp_policy *)(uintptr_t)policy;
    p->refs++;
    return p;
}

void kp_policy_unref(const struct kp_policy *policy)
{
    struct kp_policy *p = (struct kp_policy *)(uintptr_t)policy;
    if (p == NULL || --p->refs > 0)
        return;
    kp_selector_destroy((struct kp_selector *)(uintptr_t)p->selector);
    kp_selector_destroy((struct kp_selector *)(uintptr_t)p->namespace_selector);
    kp_labels_destroy((struct kp_labels *)(uintptr_t)p->static_labels);
    kp_arena_free(p->memory);
    kp_free(p);
}

bool kp_policy_is_cluster(const struct kp_policy *policy)
{
    return policy->namespace[0] == '\0';
}

int kp_policy_compare(const struct kp_policy *a, const struct kp_policy *b)
{
    if (a->priority != b->priority)
        return a->priority > b->priority ? -1 : 1;
    if (kp_policy_is_cluster(a) != kp_policy_is_cluster(b))
        return kp_policy_is_cluster(a) ? 1 : -1;
    int order = strcmp(a->name, b->name);
    return order != 0 ? order : strcmp(a->namespace, b->namespace);
}
