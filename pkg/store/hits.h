// What matches a query, in both tiers: the one place that decides which profiles a reader sees. Lists,
// merges, counts and labels all start from here. Private to this module.
#ifndef KP_STORE_HITS_H
#define KP_STORE_HITS_H

#include "store/id.h"
#include "store/segment.h"
#include "store/state.h"

struct kp_hit {
    struct kp_segment_row row;  // of the log tier: block, index, life, duration, weight and flags are not set
    struct kp_logfile *file;    // log tier, else NULL
    struct kp_segment *segment; // sealed, else NULL
    uint32_t at;                // row of it
};

// References to every file and segment involved, and copies of the series: nothing changes under a reader.
struct kp_hits {
    struct kp_hit *items; // by (series, start, number)
    size_t n;
    struct kp_series **series; // those that match and have hits, ascending by id; owned
    size_t n_series;
    // segments without a dead row, from which every row of every series that matches was taken: a roll-up
    // whose series are all in series[] may stand for their rows
    struct kp_segment **whole;
    size_t n_whole;
    uint64_t n_damaged; // of series that match, but the rows cannot be read: nobody knows whether they do
    // private
    struct kp_logfile **files;
    size_t n_files;
    struct kp_segment **segments;
    size_t n_segments;
};

// All live rows that match, at most max (KP_LIMIT beyond); limit and cursor of the query are not looked at.
KP_MUST_CHECK int kp_hits_find(struct kp_store *store, const struct kp_store_query *query, size_t max,
    struct kp_hits *ret, struct kp_error *err);
// By ids, in their order, each as often as named. KP_NOT_FOUND names the first that is not there, or is of
// another namespace (NULL = all), which is told and found out in the same way.
KP_MUST_CHECK int kp_hits_of_ids(struct kp_store *store, const char *namespace, const char *const *ids,
    size_t n, struct kp_hits *ret, struct kp_error *err);
void kp_hits_finish(struct kp_hits *hits);
const struct kp_series *kp_hits_series(const struct kp_hits *hits, uint32_t id);

// Record and bytes of a hit (either may be NULL). What a segment lost comes from the log while that has it. A
// profile that is damaged for good is quarantined: KP_CORRUPT.
KP_MUST_CHECK int kp_hit_read(struct kp_store *store, const struct kp_hit *hit, struct kp_record *ret_record,
    struct kp_blob **ret_body, struct kp_error *err);
// The same for many: hits of one segment in ascending order are cheap. The reader starts from zeroes.
KP_MUST_CHECK int kp_hit_read_next(struct kp_store *store, struct kp_record_reader *reader,
    const struct kp_hit *hit, struct kp_record *ret_record, struct kp_blob **ret_body, struct kp_error *err);

// The bytes of a sealed hit whose samples cannot be read: received ones that its segment kept, or the log's.
// KP_CORRUPT: there are none; nothing is put aside.
KP_MUST_CHECK int kp_hit_read_other(
    struct kp_store *store, const struct kp_hit *hit, struct kp_blob **ret_body, struct kp_error *err);
// Something in its segment cannot be read: what is left will be written again.
void kp_hit_set_damaged(struct kp_store *store, const struct kp_hit *hit);

// The first hits of a query behind a cursor (NULL = from the start), in the order of the query: at most
// limit. series[] is left empty.
KP_MUST_CHECK int kp_hits_page(struct kp_store *store, const struct kp_store_query *query,
    const struct kp_id *after, size_t limit, struct kp_hits *ret, struct kp_error *err);

struct kp_id kp_hit_id(const struct kp_hit *hit);

// ---- what hits are made of ----
void kp_hit_set_log(struct kp_hit *hit, struct kp_logfile *file, size_t at); // lock held
// Take a reference, unless the hits have one.
void kp_hits_hold_file(struct kp_hits *hits, struct kp_logfile *file);
void kp_hits_hold_segment(struct kp_hits *hits, struct kp_segment *segment);
// Says that a profile is not here: KP_NOT_FOUND.
int kp_store_not_here(const char *id, struct kp_error *err);

#endif
