// The newest batch of target states per namespace, encoded as they came: compact, bounded, the oldest go
// first. Loop thread only; snapshots are handed to jobs by reference. Private to this module.
#ifndef KP_API_STATES_H
#define KP_API_STATES_H

#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"

struct kp_states;

struct kp_states *kp_states_create(size_t max_bytes);
void kp_states_destroy(struct kp_states *states); // NULL is fine

// A batch that is a little older than the one that is there was overtaken by it, and changes nothing; one
// that is much older comes from a clock that was set back. encoded is referenced; NULL forgets the namespace.
void kp_states_put(struct kp_states *states, const char *namespace, int64_t time_ms, struct kp_blob *encoded);

struct kp_state_entry {
    char *namespace;
    struct kp_blob *encoded;
};
// Entries of one namespace (NULL: of all, by name) not older than since_ms; each holds a reference. Free with
// kp_state_entries_free.
struct kp_state_entry *kp_states_snapshot(
    struct kp_states *states, const char *namespace, int64_t since_ms, size_t *ret_n);
void kp_state_entries_free(struct kp_state_entry *entries, size_t n);

#endif
