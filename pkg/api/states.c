#include "api/states.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/banned.h"

#define MAX_NAMESPACES 10000
#define OVERTAKE_MS    60000 // older by more: the clock of who posts was set back

struct entry {
    char *namespace;
    int64_t time_ms;
    struct kp_blob *encoded;
    UT_hash_handle hh;
};

struct kp_states {
    struct entry *all;
    size_t bytes, max_bytes;
};

struct kp_states *kp_states_create(size_t max_bytes)
{
    struct kp_states *states = KP_NEW(struct kp_states);
    states->max_bytes = max_bytes;
    return states;
}

static void drop(struct kp_states *states, struct entry *e)
{
    HASH_DEL(states->all, e);
    states->bytes -= e->encoded->len;
    kp_blob_unref(e->encoded);
    kp_free(e->namespace);
    kp_free(e);
}

void kp_states_destroy(struct kp_states *states)
{
    if (states == NULL)
        return;
    struct entry *e;
    struct entry *next;
    HASH_ITER (hh, states->all, e, next)
        drop(states, e);
    kp_free(states);
}

static void drop_oldest(struct kp_states *states)
{
    struct entry *oldest = states->all;
    for (struct entry *e = states->all; e; e = e->hh.next)
        if (e->time_ms < oldest->time_ms)
            oldest = e;
    drop(states, oldest);
}

void kp_states_put(struct kp_states *states, const char *namespace, int64_t time_ms, struct kp_blob *encoded)
{
    struct entry *e;
    HASH_FIND_STR(states->all, namespace, e);
    if (e && e->time_ms > time_ms && e->time_ms - time_ms <= OVERTAKE_MS)
        return;
    if (e)
        drop(states, e);
    if (encoded == NULL || encoded->len > states->max_bytes)
        return;
    e = KP_NEW(struct entry);
    e->namespace = kp_strdup(namespace);
    e->time_ms = time_ms;
    e->encoded = kp_blob_ref(encoded);
    HASH_ADD_KEYPTR(hh, states->all, e->namespace, strlen(e->namespace), e);
    states->bytes += encoded->len;
    while (states->bytes > states->max_bytes || HASH_COUNT(states->all) > MAX_NAMESPACES)
        drop_oldest(states);
}

static int by_namespace(const struct entry *a, const struct entry *b)
{
    return strcmp(a->namespace, b->namespace);
}

struct kp_state_entry *kp_states_snapshot(
    struct kp_states *states, const char *namespace, int64_t since_ms, size_t *ret_n)
{
    struct kp_state_entry *out = KP_NEW_ARRAY(struct kp_state_entry, HASH_COUNT(states->all) + 1);
    *ret_n = 0;
    HASH_SORT(states->all, by_namespace);
    struct entry *e;
    struct entry *next;
    HASH_ITER (hh, states->all, e, next) {
        if (e->time_ms < since_ms)
            drop(states, e);
        else if (namespace == NULL || strcmp(namespace, e->namespace) == 0)
            out[(*ret_n)++] = (struct kp_state_entry){kp_strdup(e->namespace), kp_blob_ref(e->encoded)};
    }
    return out;
}

void kp_state_entries_free(struct kp_state_entry *entries, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        kp_free(entries[i].namespace);
        kp_blob_unref(entries[i].encoded);
    }
    kp_free(entries);
}
