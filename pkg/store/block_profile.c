// One capture of a block as a profile: only what its samples refer to, with dense ids in the order of sight.
#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "store/segment_private.h"
#include "base/banned.h"

#define UNKNOWN UINT32_MAX

struct maker {
    const struct kp_space *space;
    const struct kp_symbols *s;
    const struct kp_profile *shape;
    struct kp_profile *p;
    uint32_t *strings, *functions, *locations, *mappings; // new ids
};

static uint32_t *unknown(uint32_t n)
{
    uint32_t *ids = kp_grow(NULL, (size_t)n + 1, sizeof *ids);
    memset(ids, 0xff, ((size_t)n + 1) * sizeof *ids);
    return ids;
}

static uint32_t take_string(struct maker *m, uint32_t id)
{
    if (m->strings[id] == UNKNOWN) {
        m->strings[id] = m->p->n_strings;
        struct kp_str s = m->s->strings[id];
        m->p->strings[m->p->n_strings++] =
            (struct kp_str){kp_arena_memdup(&m->p->arena, s.data, s.len), s.len};
    }
    return m->strings[id];
}

static uint32_t take_function(struct maker *m, uint32_t id)
{
    if (m->functions[id] == UNKNOWN) {
        const struct kp_function *f = &m->s->functions[id];
        const struct kp_function mine = {.name = take_string(m, f->name),
            .system_name = take_string(m, f->system_name),
            .filename = take_string(m, f->filename),
            .start_line = f->start_line};
        m->functions[id] = m->p->n_functions;
        m->p->functions[m->p->n_functions++] = mine;
    }
    return m->functions[id];
}

static uint32_t take_location(struct maker *m, uint32_t id)
{
    if (m->locations[id] != UNKNOWN)
        return m->locations[id];
    const struct kp_sym_location *l = &m->s->locations[id];
    uint32_t mapping = l->mapping == KP_NO_MAPPING ? UNKNOWN : m->mappings[l->mapping];
    struct kp_location mine = {.address = l->address,
        .mapping = mapping == UNKNOWN ? KP_NO_MAPPING : mapping,
        .first_line = m->p->n_lines,
        .n_lines = l->n_lines,
        .folded = l->folded};
    if (mapping != UNKNOWN)
        mine.address += m->p->mappings[mapping].start;
    for (uint32_t i = 0; i < l->n_lines; i++) {
        struct kp_line line = m->s->lines[l->first_line + i];
        line.function = take_function(m, line.function);
        m->p->lines[m->p->n_lines++] = line;
    }
    m->locations[id] = m->p->n_locations;
    m->p->locations[m->p->n_locations++] = mine;
    return m->locations[id];
}

// Strings of the shape come first and keep their ids.
static void take_shape(struct maker *m, const uint32_t *mappings)
{
    struct kp_profile *p = m->p;
    const struct kp_profile *shape = m->shape;
    struct kp_arena **arena = &p->arena;
    p->strings = KP_ARENA_ARRAY(arena, struct kp_str, (size_t)shape->n_strings + m->s->n_strings);
    for (uint32_t i = 0; i < shape->n_strings; i++)
        p->strings[i] = (struct kp_str){
            kp_arena_memdup(arena, shape->strings[i].data, shape->strings[i].len), shape->strings[i].len};
    p->n_strings = shape->n_strings;
    m->strings[0] = 0;
    p->sample_types =
        kp_arena_memdup(arena, shape->sample_types, shape->n_sample_types * sizeof *shape->sample_types);
    p->mappings = kp_arena_memdup(arena, shape->mappings, shape->n_mappings * sizeof *shape->mappings);
    p->comments = kp_arena_memdup(arena, shape->comments, shape->n_comments * sizeof *shape->comments);
    p->n_sample_types = shape->n_sample_types;
    p->n_mappings = shape->n_mappings;
    p->n_comments = shape->n_comments;
    p->period = shape->period;
    p->period_type = shape->period_type;
    p->has_period_type = shape->has_period_type;
    p->drop_frames = shape->drop_frames;
    p->keep_frames = shape->keep_frames;
    p->default_type = shape->default_type;
    p->doc_url = shape->doc_url;
    for (uint32_t i = shape->n_mappings; i-- > 0;)
        m->mappings[mappings[i]] = i;
}

static bool count_frames(
    struct maker *m, const struct kp_block *b, uint32_t index, size_t *ret_frames, size_t *ret_labels)
{
    size_t frames = 0;
    size_t labels = 0;
    for (uint32_t s = b->first[index]; s < b->first[index + 1] && frames <= KP_MAX_CAPTURE_FRAMES; s++) {
        uint32_t entry = b->entries[s];
        const uint32_t *set = &m->s->label_sets[m->space->entry_labels[entry]];
        labels += set[1] - set[0];
        for (uint32_t n = m->space->entry_node[entry]; n != 0; n = m->s->nodes[n].parent)
            frames++;
    }
    *ret_frames = frames;
    *ret_labels = labels;
    return frames <= KP_MAX_CAPTURE_FRAMES && labels <= KP_MAX_CAPTURE_FRAMES;
}

static void take_sample(struct maker *m, const struct kp_block *b, uint32_t s)
{
    struct kp_profile *p = m->p;
    uint32_t entry = b->entries[s];
    struct kp_sample *sample = &p->samples[p->n_samples];
    sample->first_frame = p->n_frames;
    sample->first_label = p->n_labels;
    for (uint32_t n = m->space->entry_node[entry]; n != 0; n = m->s->nodes[n].parent)
        p->frames[p->n_frames++] = take_location(m, m->s->nodes[n].location);
    const uint32_t *set = &m->s->label_sets[m->space->entry_labels[entry]];
    for (uint32_t i = set[0]; i < set[1]; i++) {
        const struct kp_sample_label *l = &m->s->labels[i];
        p->labels[p->n_labels++] = (struct kp_sample_label){.key = take_string(m, l->key),
            .str = take_string(m, l->str),
            .unit = take_string(m, l->unit),
            .num = l->num};
    }
    sample->n_frames = p->n_frames - sample->first_frame;
    sample->n_labels = p->n_labels - sample->first_label;
    for (uint32_t t = 0; t < b->n_types; t++)
        p->values[(size_t)p->n_samples * b->n_types + t] = b->values[(size_t)t * b->n_samples + s];
    p->n_samples++;
}

static void make_room(struct maker *m, size_t n_samples, size_t n_frames, size_t n_labels)
{
    struct kp_profile *p = m->p;
    struct kp_arena **arena = &p->arena;
    p->samples = KP_ARENA_ARRAY(arena, struct kp_sample, n_samples + 1);
    p->values = KP_ARENA_ARRAY(arena, int64_t, n_samples * p->n_sample_types + 1);
    p->frames = KP_ARENA_ARRAY(arena, uint32_t, n_frames + 1);
    p->labels = KP_ARENA_ARRAY(arena, struct kp_sample_label, n_labels + 1);
    p->locations = KP_ARENA_ARRAY(arena, struct kp_location, (size_t)m->s->n_locations + 1);
    p->lines = KP_ARENA_ARRAY(arena, struct kp_line, (size_t)m->s->n_lines + 1);
    p->functions = KP_ARENA_ARRAY(arena, struct kp_function, (size_t)m->s->n_functions + 1);
}

struct kp_profile *kp_block_profile(const struct kp_space *space, const struct kp_block *b, uint32_t index)
{
    size_t n_frames;
    size_t n_labels;
    uint32_t shape = index < b->n_captures ? b->shape[index] : UINT32_MAX;
    struct maker m = {.space = space, .s = &space->symbols};
    if (shape >= space->n_shapes || space->shapes[shape]->n_sample_types != b->n_types ||
        !count_frames(&m, b, index, &n_frames, &n_labels))
        return NULL;
    m.shape = space->shapes[shape];
    m.p = KP_NEW(struct kp_profile);
    m.strings = unknown(m.s->n_strings);
    m.functions = unknown(m.s->n_functions);
    m.locations = unknown(m.s->n_locations);
    m.mappings = unknown(m.s->n_mappings);
    take_shape(&m, space->shape_mappings[shape]);
    make_room(&m, b->first[index + 1] - b->first[index], n_frames, n_labels);
    m.p->time_ns = b->time_ns[index];
    m.p->duration_ns = b->duration_ns[index];
    for (uint32_t s = b->first[index]; s < b->first[index + 1]; s++)
        take_sample(&m, b, s);
    kp_free(m.strings);
    kp_free(m.functions);
    kp_free(m.locations);
    kp_free(m.mappings);
    return m.p;
}

// ---- what is given out for a row ----

#define ENCODE_LEVEL 6

static int read_opaque(
    const struct kp_segment *s, const struct kp_segment_row *row, struct kp_blob **ret, struct kp_error *err)
{
    uint8_t *data;
    size_t len;
    const uint8_t *item;
    size_t item_len;
    int rc = kp_segment_load(s, row->block, KP_BLOCK_OPAQUE, &data, &len, err);
    if (rc != 0)
        return rc;
    rc = kp_list_block_item(data, len, row->index, &item, &item_len, err);
    if (rc == 0)
        *ret = kp_blob_copy(item, item_len);
    kp_free(data);
    return rc;
}

static int read_original(
    const struct kp_segment *s, const struct kp_segment_row *row, struct kp_blob **ret, struct kp_error *err)
{
    const struct kp_block_info *info = &s->private->blocks[row->block];
    uint64_t before = row->index < 64 ? info->originals & ((UINT64_C(1) << row->index) - 1) : 0;
    if (row->index >= 64 || (info->originals >> row->index & 1) == 0)
        return kp_fail(err, KP_CORRUPT, "segment '%s': the bytes of a profile are not there", s->name);
    uint8_t *data;
    size_t len;
    int rc = kp_segment_load(s, info->first_original + (uint32_t)__builtin_popcountll(before),
        KP_BLOCK_ORIGINAL, &data, &len, err);
    if (rc == 0)
        *ret = kp_blob_take(data, len);
    return rc;
}

static int read_samples(
    const struct kp_segment *s, const struct kp_segment_row *row, struct kp_blob **ret, struct kp_error *err)
{
    struct kp_block *block = NULL;
    struct kp_space *space = NULL;
    kp_auto_profile *profile = NULL;
    int rc = kp_segment_read_block(s, row->block, &block, err);
    if (rc != 0)
        return rc;
    rc = kp_segment_read_space(s, block->space, &space, err);
    if (rc == 0) {
        profile = kp_block_profile(space, block, row->index);
        if (profile == NULL)
            rc = kp_fail(err, KP_CORRUPT, "segment '%s': block %u holds no profile %u", s->name, row->block,
                row->index);
    }
    kp_block_free(block);
    kp_space_free(space);
    if (rc != 0)
        return rc;
    kp_auto_strbuf out;
    kp_strbuf_init(&out, KP_MAX_INFLATED_BYTES);
    kp_profile_encode(profile, ENCODE_LEVEL, &out);
    if (out.overflow)
        return kp_fail(err, KP_LIMIT, "segment '%s': a profile is too large to be given out", s->name);
    size_t len;
    char *bytes = kp_strbuf_take(&out, &len);
    *ret = kp_blob_take(bytes, len);
    return 0;
}

int kp_segment_read_body(
    const struct kp_segment *s, const struct kp_segment_row *row, struct kp_blob **ret, struct kp_error *err)
{
    if (row->block >= s->n_blocks)
        return kp_fail(err, KP_NOT_FOUND, "segment '%s' has no block %u", s->name, row->block);
    if ((row->flags & KP_SROW_OPAQUE) != 0)
        return read_opaque(s, row, ret, err);
    return (row->flags & KP_SROW_ORIGINAL) != 0 ? read_original(s, row, ret, err)
                                                : read_samples(s, row, ret, err);
}
