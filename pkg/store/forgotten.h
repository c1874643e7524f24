// Namespaces whose past is gone: one note each, "of NAMESPACE nothing from before TIME". They lie in a small
// file beside the log and the segments (DIR/forgotten), written anew and durable before anything is hidden by
// it. A note outlives what it is about: until no byte of that is left, and long enough for what is yet to be
// delivered. Private to this module.
#ifndef KP_STORE_FORGOTTEN_H
#define KP_STORE_FORGOTTEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/map.h"

struct kp_store;
struct kp_sealed;
struct kp_row;

struct kp_forgotten_note {
    int64_t before_ms;
    bool applied; // every row it hides is marked dead: readers need not ask
    UT_hash_handle hh;
    char namespace[];
};

// Changed by the writer, under the store's lock.
struct kp_forgotten {
    struct kp_forgotten_note *notes;
    int64_t pending_ms; // nothing from then on is hidden by a note that is not applied; 0 = there is none
    int64_t next_prune_ms;
};

// At start, before logs and segments are read.
KP_MUST_CHECK int kp_forgotten_load(struct kp_store *store, struct kp_error *err);
void kp_forgotten_finish(struct kp_forgotten *forgotten);

// Nothing of the namespace from before is shown; 0 = there is no note. Lock held, or on the writer.
int64_t kp_forgotten_before(const struct kp_forgotten *forgotten, const char *namespace);
static inline bool kp_forgotten_is_before(int64_t before_ms, int64_t start_ms, int64_t received_ms)
{
    return start_ms < before_ms || received_ms < before_ms;
}

// Whether a note that is not applied hides a row of the log. Lock held, or on the writer.
bool kp_forgotten_hides_row(const struct kp_store *store, const struct kp_row *row);

// Segments carry the time of their namespace: its note, if there is one, is about this one too. Lock held
// for writing.
void kp_forgotten_note_sealed(struct kp_store *store, struct kp_sealed *sealed);
// Rows may have come back to life: every note is to be applied again.
void kp_forgotten_rearm(struct kp_store *store);

// Upkeep: marks rows, drops segments, a few at a time; then forgets notes that nothing needs any more.
KP_MUST_CHECK int kp_forgotten_apply(struct kp_store *store, bool *ret_more, struct kp_error *err);

// Whether the file says what is known. Any thread.
void kp_forgotten_verify(
    struct kp_store *store, void (*each)(void *user, const char *file, const char *what), void *user);

#endif
