// What the files that read and write segments share. The file, in detail:
//
//     head (64 bytes) | blocks | rows (72 bytes each) | footer | tail (the head again)
//
// Head: magic, version, length of the file, where the footer lies. The footer is squeezed columns
// (column.h): names and counts as tagged fields, runs, roll-ups, spaces, the table of blocks, a checksum per
// 64 rows. Everything a reader is led to has its CRC in the footer, the footer's is in the head, the head has
// its own.
#ifndef KP_STORE_SEGMENT_PRIVATE_H
#define KP_STORE_SEGMENT_PRIVATE_H

#include "base/arena.h"
#include "store/column.h"
#include "store/segment.h"

#define KP_SEGMENT_VERSION    1
#define KP_SEGMENT_HEAD_BYTES 64
#define KP_SEGMENT_ROW_BYTES  72

// Limits on what is read. Within them a broken file costs memory, beyond them it is refused. The builder
// keeps what would pass them as received.
#ifdef KP_FUZZING
#define KP_MAX_BLOCK_RAW      ((size_t)1 << 20)
#define KP_MAX_BLOCK_VALUES   ((size_t)1 << 18)
#define KP_MAX_SPACE_ITEMS    ((size_t)1 << 18)
#define KP_MAX_SPACE_DEPTH    4096
#define KP_MAX_CAPTURE_FRAMES ((size_t)1 << 20)
#else
#define KP_MAX_BLOCK_RAW      ((size_t)320 << 20)
#define KP_MAX_BLOCK_VALUES   ((size_t)1 << 24) // samples times sample types
#define KP_MAX_SPACE_ITEMS    ((size_t)1 << 25) // nodes, locations, ... each
#define KP_MAX_SPACE_DEPTH    65536
#define KP_MAX_CAPTURE_FRAMES ((size_t)1 << 27)
#endif
#define KP_MAX_SAMPLE_TYPES 256
#define KP_MAX_SHAPE_BYTES  ((size_t)1 << 20)

enum kp_block_kind {
    KP_BLOCK_SAMPLES = 1,
    KP_BLOCK_SPACE = 2,
    KP_BLOCK_OPAQUE = 3,   // several bodies
    KP_BLOCK_ORIGINAL = 4, // one body, as received
    KP_BLOCK_RECORDS = 5,
    KP_BLOCK_SERIES = 6,
};

struct kp_block_info {
    uint64_t offset;
    uint32_t stored_len, raw_len, crc; // stored_len == raw_len: not squeezed
    uint32_t kind;
    uint64_t originals;      // of samples: bit i: capture i has its bytes kept
    uint32_t first_original; // the block of the first of them; the others follow
};

struct kp_segment_private {
    const struct kp_storage *storage;
    struct kp_arena *arena; // all that the footer says
    struct kp_block_info *blocks;
    uint32_t *row_crcs;           // per KP_RECORD_ROWS rows
    uint32_t *rollup_keys_of_run; // 1 + which; 0 = none
    uint64_t (*rollup_keys)[2];
    uint32_t n_rollup_keys;
    uint64_t rows_offset;
    uint32_t first_record_block, first_series_block;
};

// Where the footer is.
struct kp_segment_head {
    uint64_t file_bytes, footer_offset;
    uint32_t footer_stored, footer_raw, footer_crc;
};
void kp_segment_head_put(uint8_t out[KP_SEGMENT_HEAD_BYTES], const struct kp_segment_head *head);
KP_MUST_CHECK int kp_segment_head_get(
    const uint8_t in[KP_SEGMENT_HEAD_BYTES], struct kp_segment_head *ret, struct kp_error *err);
void kp_segment_row_put(uint8_t out[KP_SEGMENT_ROW_BYTES], const struct kp_segment_row *row);
void kp_segment_row_get(const uint8_t in[KP_SEGMENT_ROW_BYTES], struct kp_segment_row *ret);

// Fields and arrays to columns and back (segment_footer.c). Reading allocates in the private arena and
// checks that everything that refers to something refers to something that is there.
KP_MUST_CHECK int kp_segment_footer_put(
    const struct kp_segment *segment, struct kp_columns *columns, struct kp_error *err);
KP_MUST_CHECK int kp_segment_footer_get(
    const void *data, size_t len, struct kp_segment *segment, struct kp_error *err);

// Reads a block, checks and unpacks it; ret to be freed.
KP_MUST_CHECK int kp_segment_load(const struct kp_segment *segment, uint32_t block, enum kp_block_kind kind,
    uint8_t **ret, size_t *ret_len, struct kp_error *err);
// The bytes of one item of a block of lists (list_block.c).
KP_MUST_CHECK int kp_list_block_item(
    const void *data, size_t len, uint32_t index, const uint8_t **ret, size_t *ret_len, struct kp_error *err);

// ---- shapes (shape.c): all of a profile but samples, times and symbols, as bytes ----
// ret_head_len: what comes before the mappings.
void kp_shape_put(const struct kp_profile *profile, struct kp_column *out, size_t *ret_head_len);
// Makes a profile in the arena; KP_CORRUPT.
KP_MUST_CHECK int kp_shape_get(
    const void *data, size_t len, struct kp_arena **arena, struct kp_profile **ret, struct kp_error *err);

// ---- the order of a dictionary (symbol_order.c) ----
// Ids in the order of mapping and address.
void kp_order_locations(const struct kp_symbols *symbols, uint32_t *ret_order);
// Ids depth first, the children of a node in the order of their locations' ranks.
void kp_order_nodes(const struct kp_symbols *symbols, const uint32_t *location_ranks, uint32_t *ret_order);

// ---- dictionary (dictionary.c, dictionary_read.c) ----
struct kp_shape {
    uint8_t *bytes;
    size_t len, head_len;
    struct kp_profile *profile;
    uint32_t *mappings; // ids
};
struct kp_space_parts {
    const struct kp_symbols *symbols;
    const uint32_t *entry_node, *entry_labels;
    uint32_t n_entries, n_shapes;
    const struct kp_shape *shapes;
};
void kp_dictionary_put(const struct kp_space_parts *parts, struct kp_columns *columns);
KP_MUST_CHECK int kp_dictionary_get(
    const void *data, size_t len, struct kp_space **ret, struct kp_error *err);

// ---- samples (block_put.c, block.c) ----
// What a block is made of: captures one after the other, samples of each in any order, values side by side.
struct kp_block_parts {
    uint32_t space, n_captures, n_types, n_entries; // n_entries: of the space
    const char *type;                               // of the profiles
    const uint32_t *first;                          // n_captures + 1
    const uint32_t *entries;
    const int64_t *values; // sample s, type t: values[s * n_types + t]
    const uint32_t *shape;
    const int64_t *time_ns, *duration_ns;
};
void kp_block_put(const struct kp_block_parts *parts, struct kp_columns *columns);
// ret_type (may be NULL) is to be freed.
KP_MUST_CHECK int kp_block_get(
    const void *data, size_t len, struct kp_block **ret, char **ret_type, struct kp_error *err);

// ---- digests of what is stored (segment_digest.c) ----
struct kp_symbol_hashes {
    uint64_t *strings, *functions, *mappings, *locations, *nodes, *sets;
    uint32_t n_strings, n_functions, n_mappings, n_locations, n_nodes, n_sets;
    uint32_t cap_strings, cap_functions, cap_mappings, cap_locations, cap_nodes, cap_sets;
};
void kp_symbol_hashes_extend(struct kp_symbol_hashes *h, const struct kp_symbols *symbols); // by what is new
size_t kp_symbol_hashes_bytes(const struct kp_symbol_hashes *h);
void kp_symbol_hashes_finish(struct kp_symbol_hashes *h);
struct kp_digest;
// shape: of this capture. Entries have been checked to be there.
void kp_block_digest(const struct kp_symbol_hashes *h, const uint32_t *entry_node,
    const uint32_t *entry_labels, const struct kp_block *block, uint32_t index,
    const struct kp_profile *shape, struct kp_digest *ret);

#endif
