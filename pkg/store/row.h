// What is known of each profile of one log file without reading it: 56 bytes and a byte of flags. Of the file
// being written the rows live in memory; of a closed file in a sidecar beside it (NNN.idx) that is mapped: a
// million profiles cost page cache, not memory. Private to this module.
#ifndef KP_STORE_ROW_H
#define KP_STORE_ROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/array.h"
#include "base/error.h"

struct kp_row {
    int64_t start_ms, received_ms;
    uint64_t key[2];       // the capture key; zeroes = none
    uint32_t number_delta; // number of the profile less the file's first; ascending
    uint32_t series;
    uint32_t offset; // of the frame in the file; 0: nothing but the key is left
    uint32_t record_len, body_len;
    uint32_t keep_s; // KP_KEEP_DEFAULT = what the store's options say
};

#define KP_KEEP_DEFAULT UINT32_MAX

enum {
    KP_ROW_DEAD = 1,  // deleted or dropped
    KP_ROW_BAD = 2,   // checksum failed when read
    KP_ROW_MOVED = 4, // lives in a segment
};

// A deleted profile. The log keeps it until no copy of the profile is left anywhere.
struct kp_tombstone {
    uint64_t number;
    int64_t start_ms;
    uint32_t series;
    uint32_t unused;
};

struct kp_rows {
    const struct kp_row *items;
    uint8_t *flags;
    size_t n;
    const struct kp_tombstone *tombstones; // what this file deletes
    size_t n_tombstones;
    // private: either owned or mapped
    KP_ARRAY(struct kp_row) own;
    KP_ARRAY(uint8_t) own_flags;
    KP_ARRAY(struct kp_tombstone) own_tombstones;
    void *map;
    size_t map_len;
};

void kp_rows_add(struct kp_rows *rows, const struct kp_row *row);
void kp_rows_add_tombstone(struct kp_rows *rows, const struct kp_tombstone *tombstone);
void kp_rows_finish(struct kp_rows *rows);

// Writes the sidecar, durable on return. log_bytes goes into it: a sidecar of a file of another length is not
// believed.
KP_MUST_CHECK int kp_rows_save(const struct kp_rows *rows, const char *path, uint64_t file_number,
    uint64_t log_bytes, struct kp_error *err);
// Maps a sidecar; KP_CORRUPT if it is not the one of this file, KP_NOT_FOUND. rows must be empty.
KP_MUST_CHECK int kp_rows_map(
    struct kp_rows *rows, const char *path, uint64_t file_number, uint64_t log_bytes, struct kp_error *err);

// Brings the flags of a mapped sidecar to the disk.
KP_MUST_CHECK int kp_rows_sync(const struct kp_rows *rows, struct kp_error *err);

// Index of the row with this delta, or -1.
ptrdiff_t kp_rows_find(const struct kp_rows *rows, uint32_t number_delta);

#endif
