// Where the samples of sealed captures come from: dictionaries and blocks, kept for as long as they are
// needed again soon. Private to this module.
#ifndef KP_STORE_SOURCES_H
#define KP_STORE_SOURCES_H

#include "base/map.h"
#include "store/builds.h"
#include "store/segment.h"

struct kp_source_key {
    const struct kp_segment *segment;
    uint64_t space;
};

// A symbol space of a segment.
struct kp_source {
    struct kp_source_key key;
    uint32_t number; // of this source, 1 ..
    struct kp_build *build;
    const struct kp_space *space;
    // private
    struct kp_space *owned;
    struct kp_symbols_map *map; // NULL: the build has the ids of the space
    uint32_t *rows;             // by entry: row of the build's sums, UINT32_MAX = not looked up yet
    size_t bytes;
    uint64_t used;
    UT_hash_handle hh;
};

#define KP_SOURCE_BLOCKS 8

struct kp_source_block {
    const struct kp_segment *segment;
    uint32_t number;
    struct kp_block *block;
    size_t bytes;
    uint64_t used;
};

struct kp_sources {
    struct kp_builds *builds;
    size_t max_bytes; // of dictionaries, and of blocks; the one in use is kept in any case
    bool one_build;   // take all for one
    // private
    struct kp_source *all;
    uint32_t n;
    size_t space_bytes, row_bytes, block_bytes;
    struct kp_source_block blocks[KP_SOURCE_BLOCKS];
    uint64_t clock;
};

// Valid until the next call.
KP_MUST_CHECK int kp_sources_block(struct kp_sources *sources, const struct kp_segment *segment,
    uint32_t number, const struct kp_block **ret, struct kp_error *err);
// digest: of the image of the capture it is opened for.
KP_MUST_CHECK int kp_sources_get(struct kp_sources *sources, const struct kp_segment *segment, uint32_t space,
    uint32_t n_types, const char *digest, struct kp_source **ret, struct kp_error *err);
// Rows of the build's sums for n entries. KP_CORRUPT for an entry that is not there.
KP_MUST_CHECK int kp_source_rows(
    struct kp_source *source, const uint32_t *entries, uint32_t n, uint32_t *ret, struct kp_error *err);
size_t kp_sources_bytes(const struct kp_sources *sources);
void kp_sources_finish(struct kp_sources *sources);

#endif
