#include <string.h>

#include "base/alloc.h"
#include "store/builder_private.h"
#include "base/banned.h"

#define FIRST_SLOTS 1024

// ---- entries ----

static void grow_slots(struct kp_space_builder *s)
{
    uint32_t n = s->slots ? 2 * (s->slot_mask + 1) : FIRST_SLOTS;
    kp_free(s->slots);
    s->slots = KP_NEW_ARRAY(uint32_t, n);
    s->slot_mask = n - 1;
    for (uint32_t id = 0; id < s->n_entries; id++) {
        uint32_t at = kp_entry_hash(s->entry_node[id], s->entry_labels[id]) & s->slot_mask;
        while (s->slots[at] != 0)
            at = (at + 1) & s->slot_mask;
        s->slots[at] = id + 1;
    }
}

uint32_t kp_builder_entry(struct kp_space_builder *s, uint32_t node, uint32_t labels)
{
    if (s->slots == NULL || s->n_entries >= s->slot_mask / 2)
        grow_slots(s);
    uint32_t at = kp_entry_hash(node, labels) & s->slot_mask;
    for (; s->slots[at] != 0; at = (at + 1) & s->slot_mask) {
        uint32_t id = s->slots[at] - 1;
        if (s->entry_node[id] == node && s->entry_labels[id] == labels)
            return id;
    }
    if (s->n_entries == s->cap_entries) {
        s->cap_entries = s->cap_entries ? 2 * s->cap_entries : 512;
        s->entry_node = kp_grow(s->entry_node, s->cap_entries, sizeof *s->entry_node);
        s->entry_labels = kp_grow(s->entry_labels, s->cap_entries, sizeof *s->entry_labels);
    }
    s->entry_node[s->n_entries] = node;
    s->entry_labels[s->n_entries] = labels;
    s->slots[at] = s->n_entries + 1;
    return s->n_entries++;
}

// ---- shapes ----

uint32_t kp_builder_shape(struct kp_space_builder *s, const struct kp_profile *p, const uint32_t *mappings)
{
    struct kp_shape shape = {0};
    s->shape_bytes.len = 0;
    kp_shape_put(p, &s->shape_bytes, &shape.head_len);
    shape.len = s->shape_bytes.len;
    for (size_t i = s->shapes.n; i-- > 0;) { // mostly the last one
        const struct kp_shape *other = &s->shapes.items[i];
        if (other->len == shape.len && memcmp(other->bytes, s->shape_bytes.data, shape.len) == 0)
            return (uint32_t)i;
    }
    shape.bytes = kp_arena_memdup(&s->shape_arena, s->shape_bytes.data, shape.len);
    shape.mappings = kp_arena_memdup(&s->shape_arena, mappings, p->n_mappings * sizeof *mappings);
    if (kp_shape_get(shape.bytes, shape.len, &s->shape_arena, &shape.profile, NULL) != 0)
        shape.profile = kp_arena_alloc(&s->shape_arena, sizeof *shape.profile); // reads back unequal
    *kp_array_add(&s->shapes) = shape;
    return (uint32_t)s->shapes.n - 1;
}

// ---- captures ----

void kp_builder_take_profile(
    struct kp_segment_builder *b, const struct kp_profile *p, const struct kp_pending_capture *capture)
{
    struct kp_space_builder *s = b->space;
    kp_symbols_expect(s->symbols, p);
    struct kp_symbols_map *map = kp_symbols_map_profile(s->symbols, p);
    uint32_t base = s->n_entries;
    size_t first = s->entries.n;
    for (uint32_t i = 0; i < p->n_samples; i++) {
        uint32_t node = kp_symbols_map_stack(map, i);
        uint32_t labels = kp_symbols_map_labels(map, i);
        *kp_array_add(&s->entries) = kp_builder_entry(s, node, labels);
    }
    for (size_t i = 0; i < (size_t)p->n_samples * p->n_sample_types; i++)
        *kp_array_add(&s->values) = p->values[i];
    kp_auto_free uint32_t *mappings = KP_NEW_ARRAY(uint32_t, (size_t)p->n_mappings + 1);
    for (uint32_t i = 0; i < p->n_mappings; i++)
        mappings[i] = kp_symbols_map_mapping(map, i);
    kp_symbols_map_destroy(map);
    kp_builder_sort_entries(s, base, first);
    struct kp_pending_capture *added = kp_array_add(&s->captures);
    *added = *capture;
    added->shape = kp_builder_shape(s, p, mappings);
    added->time_ns = p->time_ns;
    added->duration_ns = p->duration_ns;
    s->body_bytes += added->body ? added->body_len : 0;
    *kp_array_add(&s->first) = (uint32_t)s->entries.n;
}

// ---- a space's life ----

size_t kp_builder_space_bytes(const struct kp_space_builder *s)
{
    return kp_symbols_bytes(s->symbols) + kp_symbol_hashes_bytes(&s->hashes) +
           (size_t)s->cap_entries * 2 * sizeof(uint32_t) + ((size_t)s->slot_mask + 1) * sizeof(uint32_t) +
           s->depths.cap * sizeof(uint32_t) + kp_arena_bytes(s->shape_arena);
}

static void begin_space(struct kp_segment_builder *b, const uint64_t id[2])
{
    struct kp_space_builder *s = KP_NEW(struct kp_space_builder);
    s->id[0] = id[0];
    s->id[1] = id[1];
    s->index = (uint32_t)b->spaces.n;
    s->symbols = kp_symbols_create(KP_SYMBOLS_EXACT);
    *kp_array_add(&s->first) = 0;
    *kp_array_add(&b->spaces) = (struct kp_segment_space_info){.id = {id[0], id[1]}};
    b->space = s;
}

static int note_failure(struct kp_segment_builder *b, int rc)
{
    if (rc != 0 && b->space) {
        b->failed = true;
        memcpy(b->failed_space, b->space->id, sizeof b->failed_space);
    }
    return rc;
}

static int end_type(struct kp_segment_builder *b, struct kp_error *err)
{
    int rc = kp_builder_flush_block(b, err);
    if (rc == 0)
        kp_rollup_flush(b);
    kp_free(b->space->type);
    b->space->type = NULL;
    return rc;
}

int kp_builder_enter(struct kp_segment_builder *b, const uint64_t id[2], const char *type, uint32_t n_types,
    struct kp_error *err)
{
    int rc = 0;
    struct kp_space_builder *s = b->space;
    if (s && (s->id[0] != id[0] || s->id[1] != id[1] || kp_builder_space_bytes(s) > b->max_space)) {
        rc = kp_builder_leave(b, err);
        s = NULL;
    }
    if (rc == 0 && s == NULL)
        begin_space(b, id);
    s = b->space;
    if (rc == 0 && s->type && strcmp(s->type, type) != 0)
        rc = end_type(b, err);
    if (rc == 0 && (s->captures.n == KP_BLOCK_CAPTURES || s->values.n > KP_MAX_PENDING_VALUES ||
                       s->body_bytes > KP_MAX_PENDING_BODIES || s->n_types != n_types))
        rc = kp_builder_flush_block(b, err);
    if (rc != 0)
        return note_failure(b, rc);
    if (s->type == NULL)
        s->type = kp_strdup(type);
    s->n_types = n_types;
    return 0;
}

// What is written must read back as it is here. a: of the parts' symbols, as far as they are known.
static bool same_space(
    const struct kp_space_parts *parts, struct kp_symbol_hashes *a, const struct kp_space *space)
{
    struct kp_symbol_hashes c = {0};
    bool same = space->n_entries == parts->n_entries && space->n_shapes == parts->n_shapes;
    kp_symbol_hashes_extend(a, parts->symbols);
    kp_symbol_hashes_extend(&c, &space->symbols);
    for (uint32_t i = 0; same && i < parts->n_entries; i++)
        same = a->nodes[parts->entry_node[i]] == c.nodes[space->entry_node[i]] &&
               a->sets[parts->entry_labels[i]] == c.sets[space->entry_labels[i]];
    for (uint32_t i = 0; same && i < parts->n_shapes; i++) {
        same = parts->shapes[i].profile->n_mappings == space->shapes[i]->n_mappings;
        for (uint32_t k = 0; same && k < space->shapes[i]->n_mappings; k++)
            same = a->mappings[parts->shapes[i].mappings[k]] == c.mappings[space->shape_mappings[i][k]];
    }
    kp_symbol_hashes_finish(&c);
    return same;
}

int kp_builder_leave(struct kp_segment_builder *b, struct kp_error *err)
{
    struct kp_space_builder *s = b->space;
    if (s == NULL)
        return 0;
    int rc = end_type(b, err);
    if (rc != 0)
        return note_failure(b, rc);
    const struct kp_space_parts parts = {.symbols = s->symbols,
        .entry_node = s->entry_node,
        .entry_labels = s->entry_labels,
        .n_entries = s->n_entries,
        .n_shapes = (uint32_t)s->shapes.n,
        .shapes = s->shapes.items};
    struct kp_space *space = NULL;
    kp_dictionary_put(&parts, &b->columns);
    b->raw.len = 0;
    kp_columns_join(&b->columns, &b->raw);
    rc = b->raw.len > KP_MAX_BLOCK_RAW ? kp_fail(err, KP_LIMIT, "a symbol space is too large")
                                       : kp_dictionary_get(b->raw.data, b->raw.len, &space, err);
    bool doubt = b->doubt && b->doubt(s->id);
    if (rc == 0 && (doubt || !same_space(&parts, &s->hashes, space)))
        rc = kp_fail(err, KP_INTERNAL, "a symbol space would read back unequal");
    if (rc == 0) {
        struct kp_segment_space_info *info = &b->spaces.items[s->index];
        info->n_entries = s->n_entries;
        info->bytes = kp_arena_bytes(space->arena);
        info->block = kp_builder_put_block(b, KP_BLOCK_SPACE, b->level);
        kp_builder_forget_space(b);
    }
    kp_space_free(space);
    return note_failure(b, rc);
}

void kp_builder_forget_space(struct kp_segment_builder *b)
{
    struct kp_space_builder *s = b->space;
    if (s == NULL)
        return;
    b->space = NULL;
    for (size_t i = 0; i < s->captures.n; i++)
        kp_free(s->captures.items[i].body);
    kp_rollup_forget(s);
    kp_symbols_destroy(s->symbols);
    kp_symbol_hashes_finish(&s->hashes);
    kp_free(s->entry_node);
    kp_free(s->entry_labels);
    kp_free(s->slots);
    kp_array_free(&s->depths);
    kp_array_free(&s->shapes);
    kp_arena_free(s->shape_arena);
    kp_column_finish(&s->shape_bytes);
    kp_array_free(&s->captures);
    kp_array_free(&s->first);
    kp_array_free(&s->entries);
    kp_array_free(&s->values);
    kp_free(s->type);
    kp_free(s);
}
