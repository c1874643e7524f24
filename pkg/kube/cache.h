// The objects of one resource by key. Every full list has a number (round): what it did not name is found by
// it afterwards. Internal to kube.
#ifndef KP_KUBE_CACHE_H
#define KP_KUBE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kp_cache;

struct kp_cache *kp_cache_create(void (*unref)(void *value));
void kp_cache_destroy(struct kp_cache *cache); // unrefs every value
size_t kp_cache_count(const struct kp_cache *cache);
void *kp_cache_get(const struct kp_cache *cache, const char *key); // borrowed, NULL if not there

// Takes value over, marked with round. Returns whether anything changed: with the same resource version (not
// "") what is there stays and value is unref'd. *ret_old: what was there (or NULL), the caller's to unref.
bool kp_cache_put(
    struct kp_cache *cache, const char *key, const char *rv, uint32_t round, void *value, void **ret_old);
// Takes it out; the caller's to unref. NULL if not there.
void *kp_cache_remove(struct kp_cache *cache, const char *key);
// Takes out what does not bear this round; gone() unrefs nothing, the cache does after it. gone may look at
// the cache, not change it. Returns how many.
size_t kp_cache_sweep(struct kp_cache *cache, uint32_t round,
    void (*gone)(void *user, const char *key, void *value), void *user);

#endif
