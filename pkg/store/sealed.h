// A segment as the store has it: the immutable file and which of its profiles are gone since. Private to this
// module.
#ifndef KP_STORE_SEALED_H
#define KP_STORE_SEALED_H

#include "base/array.h"
#include "store/id.h"
#include "store/row.h"
#include "store/segment.h"

// Times of the hours and days that segments hold are those of receipt.
#define KP_HOUR_MS (INT64_C(3600) * 1000)
#define KP_DAY_MS  (24 * KP_HOUR_MS)

struct kp_sealed {
    struct kp_segment *segment;
    uint64_t *dead;         // a bit per row; words are atomic: readers look without the lock
    uint32_t n_dead, n_bad; // atomic; n_bad: of the dead, what could not be read
    // writer only
    KP_ARRAY(uint64_t) buried; // numbers with a tombstone in the log, ascending
    int64_t next_look_ms;      // for rows past their age
    int64_t no_work_before_ms; // joining it failed
    uint32_t n_failures;       // so often
    bool noted;                // the index knows it
    bool shadowed;             // rows of it are elsewhere as well: not noted in the index
    bool counted_damage;
    int damaged;          // atomic: a part of it cannot be read; what is left is sealed anew
    int64_t forgotten_ms; // atomic: rows from before are gone (forgotten.h); 0 = none
    int refs;             // atomic
};

struct kp_sealed *kp_sealed_new(struct kp_segment *segment); // takes the reference
struct kp_sealed *kp_sealed_ref(struct kp_sealed *sealed);
void kp_sealed_unref(struct kp_sealed *sealed); // NULL is fine

// Any thread: the writer will seal anew what is left of it.
static inline void kp_sealed_set_damaged(struct kp_sealed *sealed)
{
    __atomic_store_n(&sealed->damaged, 1, __ATOMIC_RELAXED);
}

static inline bool kp_sealed_is_damaged(const struct kp_sealed *sealed)
{
    return __atomic_load_n(&sealed->damaged, __ATOMIC_RELAXED) != 0;
}

static inline uint32_t kp_sealed_n_dead(const struct kp_sealed *sealed)
{
    return __atomic_load_n(&sealed->n_dead, __ATOMIC_RELAXED);
}

// Whether every row of it is from before the time its namespace was forgotten.
static inline bool kp_sealed_is_forgotten(const struct kp_sealed *sealed)
{
    int64_t before_ms = __atomic_load_n(&sealed->forgotten_ms, __ATOMIC_RELAXED);
    return sealed->segment->max_start_ms < before_ms || sealed->segment->max_received_ms < before_ms;
}

bool kp_sealed_is_dead(const struct kp_sealed *sealed, uint32_t row);
// False if it was dead before. Counters are the caller's.
bool kp_sealed_kill(struct kp_sealed *sealed, uint32_t row);
// Rows first .. first + n that are not dead.
uint32_t kp_sealed_n_live(const struct kp_sealed *sealed, uint32_t first, uint32_t n);

void kp_sealed_bury(struct kp_sealed *sealed, uint64_t number);
bool kp_sealed_has_buried(const struct kp_sealed *sealed, uint64_t number);

// Whether a profile can be in it at all, from what is in memory.
bool kp_sealed_may_hold(const struct kp_sealed *sealed, const struct kp_id *id);
// Its row, also if it is dead. KP_NOT_FOUND without a text; KP_CORRUPT: it may be among rows that cannot be
// read.
KP_MUST_CHECK int kp_sealed_find(struct kp_sealed *sealed, const struct kp_id *id, uint32_t *ret_at,
    struct kp_segment_row *ret_row, struct kp_error *err);

// Rows first .. first + n, at most KP_SEALED_CHUNK: those that can be read. ret_at[i]: which rows[i] is.
#define KP_SEALED_CHUNK 256
KP_MUST_CHECK int kp_sealed_read_rows(struct kp_sealed *sealed, uint32_t first, uint32_t n,
    struct kp_segment_row *rows, uint32_t *ret_at, uint32_t *ret_n, struct kp_error *err);
// Calls each for rows first .. first + n in order, until it returns something other than 0. Those that cannot
// be read are left out.
int kp_sealed_each(struct kp_sealed *sealed, uint32_t first, uint32_t n,
    int (*each)(void *user, uint32_t at, const struct kp_segment_row *row), void *user, struct kp_error *err);

#endif
