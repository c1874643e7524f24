// The segments of a store: which there are, and how they come and go. Private to this module.
#ifndef KP_STORE_TIER_H
#define KP_STORE_TIER_H

#include "store/hits.h"
#include "store/select.h"
#include "store/state.h"

// ---- looking (readers) ----

// A run that a query wants, with a reference to where it lies.
struct kp_wanted_run {
    struct kp_sealed *sealed;
    const struct kp_segment_run *run;
};
struct kp_wanted {
    KP_ARRAY(struct kp_wanted_run) runs; // those of one segment next to each other
    KP_ARRAY(struct kp_sealed *) held;
};
// Lock held.
void kp_wanted_gather(struct kp_wanted *wanted_runs, const struct kp_store *store,
    const struct kp_series_set *chosen, const struct kp_store_query *query);
void kp_wanted_finish(struct kp_wanted *wanted_runs);

// Whether a row can be read: not dead, not past its age.
bool kp_sealed_row_live(const struct kp_store *store, const struct kp_sealed *sealed, uint32_t at,
    const struct kp_segment_row *row, int64_t now_ms);
// When a profile received then is past its age; INT64_MAX = never.
int64_t kp_store_expiry(const struct kp_store *store, uint32_t keep_s, int64_t received_ms);

// ---- changing (writer; takes the lock) ----

// Looks for a profile in all segments; NULL if none has it. Dead rows count. Reads files.
struct kp_sealed *kp_tier_find(
    struct kp_store *store, const struct kp_id *id, uint32_t *ret_at, struct kp_segment_row *ret_row);
// Adds or takes away what its series have in it. Lock held for writing.
void kp_tier_count_series(struct kp_store *store, const struct kp_sealed *sealed, bool add);
// Puts it into the table. Its series must be known. Lock held for writing.
void kp_tier_add(struct kp_store *store, struct kp_sealed *sealed);
// Takes it out of the table; its file is removed when no reader needs it. Lock held for writing. The index is
// the caller's.
void kp_tier_remove(struct kp_store *store, struct kp_sealed *sealed);
// Removes the files nobody reads any more; force: the others as well.
void kp_tier_sweep(struct kp_store *store, bool force);
// Takes out a damaged segment whose series have been counted; its file is kept for people. What the log has
// of it, and no other segment, lives in the log again.
void kp_tier_put_aside(struct kp_store *store, struct kp_sealed *sealed, const char *why);
// Marks a file as damaged, so that it is never looked at again: NAME.bad says why. One that is gone needs no
// mark.
void kp_tier_quarantine(struct kp_store *store, const char *name, const char *why);
// Notes in the index which segments came and went; what fails is made up for at the next start.
void kp_tier_note(struct kp_store *store, struct kp_sealed *const *added, size_t n_added,
    struct kp_sealed *const *removed, size_t n_removed);
// Whether the log must go on saying that a profile is deleted; in: the file whose tombstone it is.
bool kp_store_tombstone_needed(
    struct kp_store *store, const struct kp_tombstone *tombstone, const struct kp_logfile *in);
bool kp_store_needs_tombstones(struct kp_store *store, const struct kp_logfile *file);

// retain_tier.c
// Whether a segment that is damaged may get back profiles from a log file.
bool kp_tier_may_need(const struct kp_store *store, size_t file);
// Drops segments past their age or without a living profile, and marks rows past their age.
KP_MUST_CHECK int kp_tier_expire(struct kp_store *store, struct kp_error *err);
// Drops one; the log's copies of its profiles, if bytes of them are left, first.
KP_MUST_CHECK int kp_tier_drop(struct kp_store *store, struct kp_sealed *sealed, struct kp_error *err);
// Deletes the oldest of services with more profiles than they may have.
KP_MUST_CHECK int kp_store_cap(struct kp_store *store, bool *ret_more, struct kp_error *err);

// adopt.c: opens what the storage holds, at start.
KP_MUST_CHECK int kp_tier_recover(struct kp_store *store, struct kp_error *err);
// After the logs are read and can be written to.
void kp_tier_settle(struct kp_store *store);

// fallback.c: profiles of a segment that is lost, and not in the table any more, live in the log again where
// it has their bytes. lost: NULL = not known which, all are looked at. counted: rows and series have been
// counted.
void kp_tier_fall_back(struct kp_store *store, const struct kp_sealed *lost, bool counted);

// delete.c: deletes for ever: tombstones first, durable, then marks.
KP_MUST_CHECK int kp_store_bury(
    struct kp_store *store, const struct kp_hit *hits, size_t n, struct kp_error *err);

// seal_pick.c: what is worth joining or writing again; NULL items = nothing.
struct kp_tier_group {
    struct kp_sealed **items; // referenced
    size_t n;
    bool is_damaged; // one, of which what is left is to be written again
};
void kp_tier_pick(struct kp_store *store, struct kp_tier_group *ret);

#endif
