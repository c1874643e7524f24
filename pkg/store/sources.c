#include "store/sources.h"

#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/banned.h"

#define NO_ROW UINT32_MAX

// ---- blocks ----

static void drop_block(struct kp_sources *sources, struct kp_source_block *slot)
{
    sources->block_bytes -= slot->bytes;
    kp_block_free(slot->block);
    *slot = (struct kp_source_block){0};
}

static struct kp_source_block *oldest_block(struct kp_sources *sources)
{
    struct kp_source_block *oldest = &sources->blocks[0];
    for (size_t i = 1; i < KP_SOURCE_BLOCKS; i++)
        if (sources->blocks[i].used < oldest->used)
            oldest = &sources->blocks[i];
    return oldest;
}

static void trim_blocks(struct kp_sources *sources, const struct kp_source_block *keep)
{
    for (size_t i = 0; i < KP_SOURCE_BLOCKS && sources->block_bytes > sources->max_bytes; i++) {
        struct kp_source_block *oldest = NULL;
        for (size_t k = 0; k < KP_SOURCE_BLOCKS; k++) {
            struct kp_source_block *slot = &sources->blocks[k];
            if (slot->block && slot != keep && (oldest == NULL || slot->used < oldest->used))
                oldest = slot;
        }
        if (oldest)
            drop_block(sources, oldest);
    }
}

int kp_sources_block(struct kp_sources *sources, const struct kp_segment *segment, uint32_t number,
    const struct kp_block **ret, struct kp_error *err)
{
    sources->clock++;
    for (size_t i = 0; i < KP_SOURCE_BLOCKS; i++) {
        struct kp_source_block *slot = &sources->blocks[i];
        if (slot->block && slot->segment == segment && slot->number == number) {
            slot->used = sources->clock;
            *ret = slot->block;
            return 0;
        }
    }
    struct kp_source_block *slot = oldest_block(sources); // an empty one was never used
    drop_block(sources, slot);
    int rc = kp_segment_read_block(segment, number, &slot->block, err);
    if (rc != 0)
        return rc;
    slot->segment = segment;
    slot->number = number;
    slot->bytes = kp_arena_bytes(slot->block->arena);
    slot->used = sources->clock;
    sources->block_bytes += slot->bytes;
    trim_blocks(sources, slot);
    *ret = slot->block;
    return 0;
}

// ---- dictionaries ----

static void close_source(struct kp_sources *sources, struct kp_source *source)
{
    sources->space_bytes -= source->bytes;
    kp_symbols_map_destroy(source->map);
    kp_space_free(source->owned);
    source->map = NULL;
    source->owned = NULL;
    source->space = NULL;
    source->bytes = 0;
}

static void trim_sources(struct kp_sources *sources, const struct kp_source *keep)
{
    while (sources->space_bytes > sources->max_bytes) {
        struct kp_source *oldest = NULL;
        for (struct kp_source *s = sources->all; s; s = s->hh.next)
            if (s->owned && s != keep && (oldest == NULL || s->used < oldest->used))
                oldest = s;
        if (oldest == NULL)
            return;
        close_source(sources, oldest);
    }
}

static uint64_t build_key_of(const struct kp_space *space, const char *digest)
{
    for (uint32_t i = 0; i < space->n_shapes; i++) {
        if (space->shapes[i]->n_mappings == 0)
            continue;
        const struct kp_sym_mapping *m = &space->symbols.mappings[space->shape_mappings[i][0]];
        return kp_build_key(
            space->symbols.strings[m->build_id], space->symbols.strings[m->filename], m->size, digest);
    }
    return kp_build_key((struct kp_str){"", 0}, (struct kp_str){"", 0}, 0, digest);
}

// Mapping of the main binary, or KP_NO_MAPPING.
static uint32_t main_mapping(const struct kp_space *space)
{
    for (uint32_t i = 0; i < space->n_shapes; i++)
        if (space->shapes[i]->n_mappings > 0)
            return space->shape_mappings[i][0];
    return KP_NO_MAPPING;
}

// The main binary stays the first mapping, as in google/pprof's merge. The first space of a build is taken
// over as it is.
static void join_symbols(struct kp_source *source, bool is_first)
{
    struct kp_symbols *symbols = source->build->symbols;
    uint32_t main = main_mapping(source->space);
    if (is_first && (main == 0 || main == KP_NO_MAPPING) &&
        kp_symbols_adopt(symbols, &source->space->symbols)) {
        source->build->adopted = source->number;
        return;
    }
    source->map = kp_symbols_map_symbols(symbols, &source->space->symbols);
    if (symbols->n_mappings == 0)
        (void)kp_symbols_map_mapping(source->map, main);
}

static int open_source(struct kp_sources *sources, struct kp_source *source, uint32_t n_types,
    const char *digest, struct kp_error *err)
{
    int rc = kp_segment_read_space(source->key.segment, (uint32_t)source->key.space, &source->owned, err);
    if (rc != 0)
        return rc;
    source->space = source->owned;
    bool is_first = source->rows == NULL;
    if (is_first) {
        uint64_t key = sources->one_build ? 0 : build_key_of(source->space, digest);
        source->build = kp_builds_get(sources->builds, key, n_types);
        source->rows = kp_grow(NULL, (size_t)source->space->n_entries + 1, sizeof *source->rows);
        memset(source->rows, 0xff, ((size_t)source->space->n_entries + 1) * sizeof *source->rows);
        sources->row_bytes += source->space->n_entries * sizeof *source->rows;
    }
    if (source->build->adopted != source->number)
        join_symbols(source, is_first);
    source->bytes = kp_arena_bytes(source->owned->arena);
    sources->space_bytes += source->bytes;
    return 0;
}

int kp_sources_get(struct kp_sources *sources, const struct kp_segment *segment, uint32_t space,
    uint32_t n_types, const char *digest, struct kp_source **ret, struct kp_error *err)
{
    const struct kp_source_key key = {segment, space};
    struct kp_source *source = NULL;
    HASH_FIND(hh, sources->all, &key, sizeof key, source);
    if (source == NULL) {
        source = KP_NEW(struct kp_source);
        source->key = key;
        source->number = ++sources->n;
        HASH_ADD(hh, sources->all, key, sizeof source->key, source);
    }
    source->used = ++sources->clock;
    int rc = source->owned ? 0 : open_source(sources, source, n_types, digest, err);
    if (rc != 0)
        return rc;
    trim_sources(sources, source);
    *ret = source;
    return 0;
}

static uint32_t look_up(struct kp_source *source, uint32_t entry)
{
    const struct kp_space *space = source->space;
    struct kp_sums_key key = {space->entry_node[entry], space->entry_labels[entry]};
    if (source->map) {
        key.node = kp_symbols_map_node(source->map, key.node);
        key.label_set = kp_symbols_map_label_set(source->map, key.label_set);
    }
    return kp_sums_row(&source->build->sums, key);
}

int kp_source_rows(
    struct kp_source *source, const uint32_t *entries, uint32_t n, uint32_t *ret, struct kp_error *err)
{
    uint32_t n_entries = source->space->n_entries;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t entry = entries[i];
        if (entry >= n_entries)
            return kp_fail(err, KP_CORRUPT, "segment '%s': entry %u is not in its dictionary",
                source->key.segment->name, entry);
        uint32_t row = source->rows[entry];
        if (row == NO_ROW)
            row = source->rows[entry] = look_up(source, entry);
        ret[i] = row;
    }
    return 0;
}

size_t kp_sources_bytes(const struct kp_sources *sources)
{
    return sources->space_bytes + sources->row_bytes + sources->block_bytes +
           sources->n * sizeof(struct kp_source);
}

void kp_sources_finish(struct kp_sources *sources)
{
    struct kp_source *source;
    struct kp_source *next;
    for (size_t i = 0; i < KP_SOURCE_BLOCKS; i++)
        kp_block_free(sources->blocks[i].block);
    HASH_ITER (hh, sources->all, source, next) {
        HASH_DEL(sources->all, source);
        kp_symbols_map_destroy(source->map);
        kp_space_free(source->owned);
        kp_free(source->rows);
        kp_free(source);
    }
    *sources = (struct kp_sources){0};
}
