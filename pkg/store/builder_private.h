// A segment being made: what the builder's files share.
#ifndef KP_STORE_BUILDER_PRIVATE_H
#define KP_STORE_BUILDER_PRIVATE_H

#include "base/array.h"
#include "base/map.h"
#include "profile/digest.h"
#include "store/segment_private.h"

// What goes past one of these is kept as received.
#define KP_MAX_PROFILE_VALUES  ((size_t)1 << 22)
#define KP_MAX_PROFILE_FRAMES  ((size_t)1 << 24)
#define KP_MAX_PROFILE_STRINGS ((size_t)32 << 20) // bytes
// A space past this goes on in a new one of the same id.
#define KP_MAX_OPEN_SPACE ((size_t)32 << 20)
// A block is written when what waits for it passes these.
#define KP_MAX_PENDING_VALUES ((size_t)1 << 19)
#define KP_MAX_PENDING_BODIES ((size_t)8 << 20)
#define KP_MAX_ROLLUP_BYTES   ((size_t)16 << 20) // sums of one space and type; labels beyond get none
#define KP_MIN_ROLLUP         2                  // profiles

struct kp_built_row {
    struct kp_segment_row row;
    size_t record; // in records
    uint32_t record_len;
};

struct kp_built_series {
    uint32_t id;
    uint32_t rollup_key; // 1 + which; 0 = none
    uint32_t n_windows;  // captures that are no start-up ones and in a block of samples
    uint32_t n_summed;   // of them in roll-ups
    size_t record;       // in series_records
    uint32_t record_len;
    UT_hash_handle hh;
};

struct kp_built_rollup_key {
    uint64_t key[2];
    uint32_t at;
    UT_hash_handle hh;
};

struct kp_pending_list { // items of a block of lists
    struct kp_column lengths, bytes;
    uint32_t n;
};

struct kp_space_builder;

struct kp_segment_builder {
    char *namespace;
    uint32_t keep_s;
    enum kp_keep_original keep_original;
    int level;
    struct kp_squeezer *squeezer;
    struct kp_column file; // head and blocks
    KP_ARRAY(struct kp_block_info) blocks;
    KP_ARRAY(struct kp_built_row) rows;
    struct kp_column records, series_records;
    struct kp_built_series *series;
    struct kp_built_rollup_key *rollup_keys;
    KP_ARRAY(struct kp_segment_space_info) spaces;
    KP_ARRAY(struct kp_segment_rollup) rollups;
    KP_ARRAY(uint32_t) rollup_series;
    KP_ARRAY(uint32_t) rollup_counts; // of the captures of each that went in
    KP_ARRAY(char *) replaces;
    struct kp_space_builder *space; // open; NULL = none
    struct kp_pending_list opaque;
    KP_ARRAY(uint32_t) opaque_rows;
    struct kp_columns columns; // scratch
    struct kp_column raw;      // scratch
    const int *cancelled;
    bool failed; // for failed_space
    uint64_t failed_space[2];
    bool (*doubt)(const uint64_t space[2]);
    size_t max_space;     // KP_MAX_OPEN_SPACE; tests lower it
    uint32_t doubt_every; // tests: every n-th profile counts as read back unequal
    uint32_t n_checked;
};

// ---- builder.c ----
// Writes the columns at hand as a block; returns its number.
uint32_t kp_builder_put_block(struct kp_segment_builder *b, enum kp_block_kind kind, int level);
// Bytes as they are.
uint32_t kp_builder_put_original(struct kp_segment_builder *b, const void *data, size_t len);
void kp_builder_add_opaque(struct kp_segment_builder *b, uint32_t row, const void *body, size_t len);
void kp_builder_flush_opaque(struct kp_segment_builder *b);
void kp_builder_note_series(
    struct kp_segment_builder *b, uint32_t id, const void *record, size_t len, const uint64_t rollup[2]);
struct kp_built_series *kp_builder_series(const struct kp_segment_builder *b, uint32_t id);
// Adds a row that holds no place yet; record: stripped (record_block.c).
uint32_t kp_builder_add_row(
    struct kp_segment_builder *b, const struct kp_segment_row *row, const void *record, size_t len);

// ---- record_block.c: records without what their row says ----
void kp_record_strip(const struct kp_segment_row *row, const void *record, size_t len, struct kp_strbuf *out);
void kp_list_put(struct kp_pending_list *list, const void *data, size_t len);
void kp_list_columns(const struct kp_pending_list *list, struct kp_columns *columns);
void kp_list_reset(struct kp_pending_list *list);

// ---- builder_space.c: the open space ----
struct kp_pending_capture {
    uint32_t row, shape;
    int64_t time_ns, duration_ns;
    struct kp_digest digest; // of what was decoded
    uint8_t *body;           // as received; NULL = not kept
    size_t body_len;
    bool joined; // from another segment: its bytes are there if they were kept
};

struct kp_space_builder {
    uint64_t id[2];
    uint32_t index;
    struct kp_symbols *symbols;
    struct kp_symbol_hashes hashes;
    // entries
    uint32_t *entry_node, *entry_labels;
    uint32_t n_entries, cap_entries;
    uint32_t *slots; // id + 1; 0 = free
    uint32_t slot_mask;
    KP_ARRAY(uint32_t) depths; // of nodes
    KP_ARRAY(struct kp_shape) shapes;
    struct kp_arena *shape_arena;
    struct kp_column shape_bytes; // scratch
    // the block being filled
    char *type;
    uint32_t n_types;
    KP_ARRAY(struct kp_pending_capture) captures;
    KP_ARRAY(uint32_t) first;
    KP_ARRAY(uint32_t) entries;
    KP_ARRAY(int64_t) values;
    size_t body_bytes;
    struct kp_rollup_sum *rollups; // of this type
    size_t rollup_bytes;
};

// Makes ready for a capture of this space and type; what came before and does not fit is written.
KP_MUST_CHECK int kp_builder_enter(struct kp_segment_builder *b, const uint64_t id[2], const char *type,
    uint32_t n_types, struct kp_error *err);
KP_MUST_CHECK int kp_builder_leave(struct kp_segment_builder *b, struct kp_error *err); // writes the space
void kp_builder_forget_space(struct kp_segment_builder *b);
// A decoded profile into the space entered.
void kp_builder_take_profile(
    struct kp_segment_builder *b, const struct kp_profile *profile, const struct kp_pending_capture *capture);
static inline uint32_t kp_entry_hash(uint32_t node, uint32_t labels)
{
    return (uint32_t)kp_digest_mix((uint64_t)node << 32 | labels, 5);
}
// Entry of a stack and a label set of the open space.
uint32_t kp_builder_entry(struct kp_space_builder *space, uint32_t node, uint32_t labels);
// (builder_order.c) Gives new entries, from base on, the order of the tree, so that their ids say little new.
// The samples from first_sample on are those that may name them.
void kp_builder_sort_entries(struct kp_space_builder *space, uint32_t base, size_t first_sample);
uint32_t kp_builder_shape(
    struct kp_space_builder *space, const struct kp_profile *profile, const uint32_t *mappings);
size_t kp_builder_space_bytes(const struct kp_space_builder *space);

// ---- builder_block.c: the block being filled ----
// Writes it, if there is anything, after it has been read back.
KP_MUST_CHECK int kp_builder_flush_block(struct kp_segment_builder *b, struct kp_error *err);

// ---- builder_rollup.c ----
void kp_rollup_take(struct kp_segment_builder *b, const struct kp_block *block);
void kp_rollup_flush(struct kp_segment_builder *b); // writes and forgets those of this type
void kp_rollup_forget(struct kp_space_builder *space);
void kp_rollup_prune(struct kp_segment_builder *b); // at the end: see there

#endif
