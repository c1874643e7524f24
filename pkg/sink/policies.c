#include "sink/policies.h"

#include <string.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/banned.h"

struct kp_policy_counts { // one policy; the map's head is any of them
    char *key;
    int64_t n;
    UT_hash_handle hh;
};

static void add_one(struct kp_policy_counts **counts, const char *key, int by)
{
    struct kp_policy_counts *count;
    HASH_FIND_STR(*counts, key, count);
    if (count == NULL) {
        count = KP_NEW(struct kp_policy_counts);
        count->key = kp_strdup(key);
        HASH_ADD_KEYPTR(hh, *counts, count->key, strlen(count->key), count);
    }
    count->n += by;
    if (count->n > 0)
        return;
    HASH_DEL(*counts, count);
    kp_free(count->key);
    kp_free(count);
}

void kp_policy_counts_add(struct kp_policy_counts **counts, const char *policies, int by)
{
    kp_auto_free char *copy = kp_strdup(policies);
    char *rest = copy;
    while (rest != NULL) {
        const char *key = strsep(&rest, ",");
        if (key[0] != '\0')
            add_one(counts, key, by);
    }
}

uint64_t kp_policy_counts_get(const struct kp_policy_counts *counts, const char *policy)
{
    const struct kp_policy_counts *count;
    HASH_FIND_STR((struct kp_policy_counts *)(uintptr_t)counts, policy, count);
    return count != NULL ? (uint64_t)count->n : 0;
}

void kp_policy_counts_free(struct kp_policy_counts **counts)
{
    struct kp_policy_counts *count, *next;
    HASH_ITER (hh, *counts, count, next) {
        HASH_DEL(*counts, count);
        kp_free(count->key);
        kp_free(count);
    }
}
