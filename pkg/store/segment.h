// A segment: profiles of one namespace and retention class, received in one hour (later: one day), in stored
// form. One immutable file:
//
//     head | blocks ... | rows | footer | tail (the head again)
//
// A space is what profiles of one build share (symbols.h, KP_SYMBOLS_EXACT) and the entries made of it: an
// entry is a (stack, label set). A block holds up to 64 captures of one space and one type, column by column:
// entry ids ascending, then a column of values per sample type. Rows say where each profile lies; records lie
// in blocks of their own, 64 rows each. Everything little-endian and covered by CRC-32C; every block is
// squeezed by itself (zstd). Private to this module; builder.c writes it, segment.c and block.c read it. No
// locks: an open segment is immutable and may be read by many threads.
#ifndef KP_STORE_SEGMENT_H
#define KP_STORE_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/error.h"
#include "profile/kinds.h"
#include "profile/profile.h"
#include "profile/symbols.h"
#include "record/record.h"
#include "store/store.h"

#define KP_BLOCK_CAPTURES 64
#define KP_RECORD_ROWS    64

enum {
    KP_SROW_STARTUP = 1,  // began within 60 s of its container
    KP_SROW_ORIGINAL = 2, // the received bytes are kept as well: what is given out
    KP_SROW_OPAQUE = 4,   // a trace or text: only the received bytes are kept; index counts within its block
};

// Sorted by (series, start_ms, number).
struct kp_segment_row {
    int64_t start_ms, received_ms;
    uint64_t key[2]; // the capture key; zeroes = none
    uint64_t number;
    uint32_t series;
    uint32_t body_len;    // as received
    uint32_t block;       // its samples, or its bytes
    uint32_t index;       // within the block
    uint32_t life;        // hash of one life of a container; 0 = not known
    uint32_t duration_ms; // of the capture; 0 = not known
    float weight;         // n/k of the sampling; 1 = not known
    uint32_t flags;       // KP_SROW_*
};

// The rows of one series.
struct kp_segment_run {
    uint32_t series, first_row, n_rows;
    int64_t min_start_ms, max_start_ms;
    uint64_t body_bytes; // of the profiles as received
};

// The sum of all captures of one space, profile type and label set without pod and node; only for window
// types (KP_AGGREGATE_SUM), start-up captures left out. In a block of one capture. A series is in the
// roll-ups of a segment whole or not at all: where its captures lie in several spaces, each has its roll-up.
struct kp_segment_rollup {
    uint32_t space, block;
    uint32_t first_series, n_series; // of rollup_series[]: the series that went in
    uint32_t n_profiles;             // that went in
    uint32_t n_startup;              // of the same series, left out
    uint32_t min_duration_ms, max_duration_ms;
    int64_t min_start_ms, max_start_ms;
    int64_t duration_ns; // the sum
};

struct kp_segment_space_info {
    uint64_t id[2]; // what the builder was given
    uint32_t block; // the dictionary
    uint32_t n_entries;
    uint64_t bytes; // about what reading it takes
};

struct kp_segment {
    // read these
    char *name;
    char *namespace;
    uint32_t keep_s;                 // KP_KEEP_DEFAULT = what the store's options say
    uint64_t file_bytes, body_bytes; // body_bytes: of the profiles as received
    uint32_t n_rows, n_runs, n_rollups, n_spaces, n_blocks, n_replaces;
    int64_t min_start_ms, max_start_ms, min_received_ms, max_received_ms;
    uint64_t min_number, max_number;
    const struct kp_segment_run *runs; // ascending by series
    const struct kp_segment_rollup *rollups;
    const uint32_t *rollup_series;
    const struct kp_segment_space_info *spaces;
    char *const *replaces; // names of the segments that were joined into this one
    int refs;              // atomic
    struct kp_segment_private *private;
};

// Reads and checks tail and footer. KP_CORRUPT, KP_NOT_FOUND, KP_UNSUPPORTED-like refusals name the file.
KP_MUST_CHECK int kp_segment_open(const struct kp_storage *storage, const char *name, struct kp_segment **ret,
    struct kp_error *err); // storage outlives it
struct kp_segment *kp_segment_ref(struct kp_segment *segment);
void kp_segment_unref(struct kp_segment *segment); // NULL is fine

// The run of a series, or NULL.
const struct kp_segment_run *kp_segment_find_run(const struct kp_segment *segment, uint32_t series);
KP_MUST_CHECK int kp_segment_read_rows(const struct kp_segment *segment, uint32_t first, uint32_t n,
    struct kp_segment_row *ret, struct kp_error *err);
// What identifies the series of run i, as a record (finish it): for an index that was lost.
KP_MUST_CHECK int kp_segment_read_series(
    const struct kp_segment *segment, uint32_t run, struct kp_record *ret, struct kp_error *err);

// Records are read block by block; a reader keeps the last one squeezed out. Zeroes to begin with.
struct kp_record_reader {
    const struct kp_segment *segment;
    uint32_t block; // 1 + which; 0 = none
    uint8_t *data;
    size_t len;
    struct kp_segment_row *rows; // of the same block
    uint32_t n_rows;
};
// The record of a row, without id. Rows in ascending order are cheap.
KP_MUST_CHECK int kp_segment_read_record(struct kp_record_reader *reader, const struct kp_segment *segment,
    uint32_t row, struct kp_record *ret, struct kp_error *err);
void kp_record_reader_finish(struct kp_record_reader *reader);

// ---- a space, read ----
struct kp_space {
    struct kp_symbols symbols; // arrays only: nothing can be looked up in it or added
    uint32_t n_entries;
    const uint32_t *entry_node, *entry_labels;
    uint32_t n_shapes;
    struct kp_profile *const *shapes; // all of a profile but samples, times and symbols: sample types, period
                                      // (type), mappings in order with their starts, comments, ...
    const uint32_t *const *shape_mappings; // id in symbols of each mapping of a shape
    struct kp_arena *arena;                // owns it all
};
KP_MUST_CHECK int kp_segment_read_space(
    const struct kp_segment *segment, uint32_t space, struct kp_space **ret, struct kp_error *err);
void kp_space_free(struct kp_space *space); // NULL is fine

// ---- a block of samples, read ----
struct kp_block {
    uint32_t space, n_captures, n_types, n_samples;
    const uint32_t *first;   // capture i: samples first[i] .. first[i + 1]
    const uint32_t *entries; // of each sample; ascending within a capture
    const int64_t *values;   // type t of sample s: values[t * n_samples + s]
    const uint32_t *shape;   // of each capture
    const int64_t *time_ns, *duration_ns;
    struct kp_arena *arena;
};
// KP_INVALID for a block of another kind.
KP_MUST_CHECK int kp_segment_read_block(
    const struct kp_segment *segment, uint32_t block, struct kp_block **ret, struct kp_error *err);
void kp_block_free(struct kp_block *block); // NULL is fine
// One capture of a block as a profile: what was received, but for ids and the order of tables and samples.
// NULL if the block holds no such capture (a broken file).
struct kp_profile *kp_block_profile(
    const struct kp_space *space, const struct kp_block *block, uint32_t index);

// The bytes to give out for a row: as received where they were kept, else encoded anew.
KP_MUST_CHECK int kp_segment_read_body(const struct kp_segment *segment, const struct kp_segment_row *row,
    struct kp_blob **ret, struct kp_error *err);

// ---- what is left of a damaged one (segment_look.c) ----
enum kp_row_state {
    KP_SROW_LOST,
    KP_SROW_WHOLE,
    KP_SROW_AS_RECEIVED, // its samples are lost, the received bytes were kept
};
struct kp_segment_salvage {
    // in; both may be NULL
    const int *cancelled;                                                // becomes not 0: KP_CANCELED soon
    int (*describe)(void *user, uint32_t series, struct kp_record *ret); // where the segment cannot
    void *user;
    // out
    uint8_t *states; // of each row (free it)
    uint32_t n_lost;
    bool is_whole; // nothing is wrong with it
};
// Reads everything. Fails where the disk does; damage is no failure.
KP_MUST_CHECK int kp_segment_look(
    const struct kp_segment *segment, struct kp_segment_salvage *salvage, struct kp_error *err);

// Reads everything, checks every sum, and that every row leads to a profile. Calls each for what is wrong.
KP_MUST_CHECK int kp_segment_verify(const struct kp_segment *segment,
    void (*each)(void *user, const char *file, const char *what), void *user, struct kp_error *err);

// ---- making one ----
struct kp_segment_input {
    struct kp_segment_row row; // all but block and index; flags: STARTUP and OPAQUE as they are
    const char *type;          // of the profile: "cpu"
    const void *record;        // encoded
    size_t record_len;
    const void *body; // as received
    size_t body_len;
    uint64_t space[2];  // what makes profiles share symbols
    uint64_t rollup[2]; // label set without pod and node; zeroes = none
    uint64_t order;     // captures of a block are put in this order: pod, then time
};
struct kp_segment_builder;
struct kp_segment_options {
    const char *namespace;
    uint32_t keep_s;
    enum kp_keep_original keep_original;
    int level;            // of zstd; 0 = 7
    const int *cancelled; // joining stops with KP_CANCELED when it becomes other than 0; NULL = never
    bool (*doubt)(const uint64_t space[2]); // tests: for which spaces to fail; NULL = none
};
struct kp_segment_builder *kp_segment_builder_create(const struct kp_segment_options *options);
void kp_segment_builder_destroy(struct kp_segment_builder *builder); // NULL is fine
// Give them sorted by space, then type, then order: a space is finished when another begins. Space for one
// space is held at a time. A profile that cannot be decoded, or that would read back unequal, is kept as
// received (KP_SROW_ORIGINAL or OPAQUE). series: what identifies the row's series, encoded; looked at once
// per series.
KP_MUST_CHECK int kp_segment_builder_add(struct kp_segment_builder *builder,
    const struct kp_segment_input *input, const struct kp_record *series, struct kp_error *err);
// Takes over all profiles of another segment for which keep says yes (NULL = all): joining hours to days.
KP_MUST_CHECK int kp_segment_builder_join(struct kp_segment_builder *builder,
    struct kp_segment *const *segments, size_t n,
    bool (*keep)(void *user, size_t segment, const struct kp_segment_row *row), void *user,
    struct kp_error *err);
// The same from one that is damaged: all that kp_segment_look() found readable.
KP_MUST_CHECK int kp_segment_builder_salvage(struct kp_segment_builder *builder, struct kp_segment *segment,
    const struct kp_segment_salvage *salvage,
    bool (*keep)(void *user, size_t segment, const struct kp_segment_row *row), void *user,
    struct kp_error *err);
// After add or finish failed: whether it was for a space that cannot be written, and which. Begun anew with
// the captures of that space as OPAQUE, it goes on.
bool kp_segment_builder_failed_space(const struct kp_segment_builder *builder, uint64_t ret_space[2]);
size_t kp_segment_builder_bytes(const struct kp_segment_builder *builder); // memory it takes now
// The file. The rows as they were written are handed out too (may be NULL; free them).
KP_MUST_CHECK int kp_segment_builder_finish(struct kp_segment_builder *builder, struct kp_blob **ret,
    struct kp_segment_row **ret_rows, uint32_t *ret_n_rows, struct kp_error *err);

#endif
