#include "kube/cache.h"

#include <string.h>

#include "base/hash.h"
#include "base/map.h"

#include "base/banned.h"

// uthash is macros: NOLINTBEGIN(readability-function-size)

struct entry {
    void *value;
    uint64_t version; // hash of the resource version; 0 = none
    uint32_t round;
    UT_hash_handle hh;
    char key[];
};

struct kp_cache {
    struct entry *entries;
    void (*unref)(void *value);
};

struct kp_cache *kp_cache_create(void (*unref)(void *value))
{
    struct kp_cache *cache = KP_NEW(struct kp_cache);
    cache->unref = unref;
    return cache;
}

static struct entry *find(const struct kp_cache *cache, const char *key)
{
    struct entry *entry;
    HASH_FIND(hh, cache->entries, key, strlen(key), entry);
    return entry;
}

static void *take_out(struct kp_cache *cache, struct entry *entry)
{
    void *value = entry->value;
    HASH_DEL(cache->entries, entry);
    kp_free(entry);
    return value;
}

void kp_cache_destroy(struct kp_cache *cache)
{
    struct entry *entry;
    struct entry *next;
    if (!cache)
        return;
    HASH_ITER (hh, cache->entries, entry, next)
        cache->unref(take_out(cache, entry));
    kp_free(cache);
}

size_t kp_cache_count(const struct kp_cache *cache)
{
    return HASH_COUNT(cache->entries);
}

void *kp_cache_get(const struct kp_cache *cache, const char *key)
{
    struct entry *entry = find(cache, key);
    return entry ? entry->value : NULL;
}

bool kp_cache_put(
    struct kp_cache *cache, const char *key, const char *rv, uint32_t round, void *value, void **ret_old)
{
    uint64_t version = *rv ? kp_hash64_str(rv, 0) | 1 : 0;
    struct entry *entry = find(cache, key);
    *ret_old = NULL;
    if (entry && version != 0 && entry->version == version) {
        entry->round = round;
        cache->unref(value);
        return false;
    }
    if (!entry) {
        size_t len = strlen(key);
        entry = kp_calloc(1, sizeof *entry + len + 1);
        memcpy(entry->key, key, len + 1);
        HASH_ADD_KEYPTR(hh, cache->entries, entry->key, len, entry);
    }
    *ret_old = entry->value;
    entry->value = value;
    entry->version = version;
    entry->round = round;
    return true;
}

void *kp_cache_remove(struct kp_cache *cache, const char *key)
{
    struct entry *entry = find(cache, key);
    return entry ? take_out(cache, entry) : NULL;
}

size_t kp_cache_sweep(struct kp_cache *cache, uint32_t round,
    void (*gone)(void *user, const char *key, void *value), void *user)
{
    struct entry *entry;
    struct entry *next;
    size_t n = 0;
    HASH_ITER (hh, cache->entries, entry, next) {
        if (entry->round == round)
            continue;
        HASH_DEL(cache->entries, entry);
        gone(user, entry->key, entry->value);
        cache->unref(entry->value);
        kp_free(entry);
        n++;
    }
    return n;
}

// NOLINTEND(readability-function-size)
