// Tells the forms apart and makes a profile of what was read.
#include "profile/legacy.h"

#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "profile/inflate.h"
#include "profile/legacy_private.h"
#include "base/banned.h"

// ---- samples ----

struct kp_legacy_sample *kp_legacy_add_sample(struct kp_legacy *l, int *ret_rc)
{
    if (l->samples.n >= l->max_samples) {
        *ret_rc = kp_fail(l->err, KP_LIMIT, "more than %zu samples", l->max_samples);
        return NULL;
    }
    struct kp_legacy_sample *s = kp_array_add(&l->samples);
    *s = (struct kp_legacy_sample){.first = l->addresses.n};
    return s;
}

int kp_legacy_add_address(struct kp_legacy *l, uint64_t address)
{
    struct kp_legacy_sample *s = &l->samples.items[l->samples.n - 1];
    if (s->n >= l->max_depth)
        return kp_fail(l->err, KP_LIMIT, "sample %zu has more than %zu frames", l->samples.n, l->max_depth);
    if (l->addresses.n >= l->max_addresses)
        return kp_fail(l->err, KP_LIMIT, "more than %zu frames", l->max_addresses);
    *kp_array_add(&l->addresses) = address;
    s->n++;
    return 0;
}

int kp_legacy_add_addresses(struct kp_legacy *l, struct kp_text text, uint64_t back)
{
    const char *p = text.data;
    const char *end = p + text.len;
    while (p < end) {
        const char *digits = p + 2;
        const char *q = digits;
        if (!kp_text_starts((struct kp_text){p, (size_t)(end - p)}, "0x")) {
            p++;
            continue;
        }
        while (q < end && kp_text_hex(*q) >= 0 && !(*q >= 'A' && *q <= 'F'))
            q++;
        uint64_t address;
        if (q > digits && !kp_text_uint((struct kp_text){digits, (size_t)(q - digits)}, 16, &address))
            return kp_fail(l->err, KP_INVALID, "the address %.*s has more than 64 bits",
                q - p > 40 ? 40 : (int)(q - p), p);
        int rc = q > digits ? kp_legacy_add_address(l, address - back) : 0;
        if (rc != 0)
            return rc;
        p = q > digits ? q : p + 1;
    }
    return 0;
}

void kp_legacy_drop_frame(struct kp_legacy *l, struct kp_legacy_sample *s, uint32_t at)
{
    uint64_t *frames = l->addresses.items + s->first;
    memmove(frames + at, frames + at + 1, (s->n - at - 1) * sizeof *frames);
    s->n--;
}

// ---- the profile ----

struct making {
    struct kp_legacy *l;
    struct kp_profile *p;
    struct kp_symbols *strings;
    struct kp_legacy_places places;
    uint32_t *frames; // location of each address
};

static uint32_t add_string(struct making *m, const char *text)
{
    return kp_symbols_string(m->strings, text, (uint32_t)strlen(text));
}

static uint32_t *find_slot(const struct kp_legacy_places *places, uint64_t address)
{
    size_t at = kp_keyed_pair(&places->key, places->key.start, address, 0) & (places->n_slots - 1);
    while (places->slots[at] != 0 && places->addresses.items[places->slots[at] - 1] != address)
        at = (at + 1) & (places->n_slots - 1);
    return &places->slots[at];
}

uint32_t kp_legacy_find_place(const struct kp_legacy_places *places, uint64_t address)
{
    return *find_slot(places, address) - 1;
}

// A location for each address, in the order of first use.
static void number_locations(struct making *m)
{
    struct kp_legacy_places *places = &m->places;
    places->key = kp_keyed_random();
    places->n_slots = 64;
    while (places->n_slots < 2 * m->l->addresses.n)
        places->n_slots *= 2;
    places->slots = KP_NEW_ARRAY(uint32_t, places->n_slots);
    m->frames = KP_NEW_ARRAY(uint32_t, m->l->addresses.n + 1);
    for (size_t i = 0; i < m->l->samples.n; i++) {
        const struct kp_legacy_sample *s = &m->l->samples.items[i];
        for (size_t k = s->first; k < s->first + s->n; k++) {
            uint64_t address = m->l->addresses.items[k];
            uint32_t *slot = find_slot(places, address);
            if (*slot == 0) {
                *kp_array_add(&places->addresses) = address;
                *slot = (uint32_t)places->addresses.n;
            }
            m->frames[k] = *slot - 1;
        }
    }
}

// The handler may put the leaf there twice, from the signal and, one less, from unwinding.
static void drop_leaf_twins(struct making *m)
{
    for (size_t i = 0; i < m->l->samples.n && m->l->leaf_twins; i++) {
        struct kp_legacy_sample *s = &m->l->samples.items[i];
        const uint64_t *a = s->n < 2 ? NULL : m->l->addresses.items + s->first;
        if (a == NULL || a[0] != a[1] + 1)
            continue;
        memmove(m->frames + s->first + 1, m->frames + s->first + 2, (s->n - 2) * sizeof *m->frames);
        kp_legacy_drop_frame(m->l, s, 1);
    }
}

static int add_locations(struct making *m)
{
    struct kp_profile *p = m->p;
    uint64_t *addresses = m->places.addresses.items;
    uint32_t n = (uint32_t)m->places.addresses.n;
    p->locations = KP_ARENA_ARRAY(&p->arena, struct kp_location, (size_t)n + 1);
    int rc = m->l->java ? kp_legacy_java_frames(m->l, &m->places, m->strings, p) : 0;
    if (rc != 0)
        return rc;
    for (uint32_t i = 0; i < n; i++)
        if (p->locations[i].n_lines > 0)
            addresses[i] = 0; // the number of a frame that is told by name: it lies nowhere
    kp_legacy_tidy_mappings(m->l);
    kp_auto_free uint32_t *mappings = KP_NEW_ARRAY(uint32_t, (size_t)n + 1);
    rc = kp_legacy_place(m->l, addresses, n, mappings);
    if (rc != 0)
        return rc;
    for (; p->n_locations < n; p->n_locations++) {
        p->locations[p->n_locations].address = m->l->java ? 0 : addresses[p->n_locations];
        p->locations[p->n_locations].mapping = mappings[p->n_locations];
    }
    p->mappings = KP_ARENA_ARRAY(&p->arena, struct kp_mapping, m->l->mappings.n + 1);
    for (; p->n_mappings < m->l->mappings.n; p->n_mappings++) {
        const struct kp_legacy_mapping *from = &m->l->mappings.items[p->n_mappings];
        struct kp_mapping *to = &p->mappings[p->n_mappings];
        *to = (struct kp_mapping){.start = from->start, .limit = from->limit, .offset = from->offset};
        to->filename = add_string(m, from->file);
        to->build_id = add_string(m, from->build_id);
    }
    return 0;
}

static void add_samples(struct making *m)
{
    struct kp_profile *p = m->p;
    const struct kp_legacy *l = m->l;
    p->samples = KP_ARENA_ARRAY(&p->arena, struct kp_sample, l->samples.n + 1);
    p->values = KP_ARENA_ARRAY(&p->arena, int64_t, l->samples.n * l->n_types + 1);
    p->frames = KP_ARENA_ARRAY(&p->arena, uint32_t, l->addresses.n + 1);
    p->labels = KP_ARENA_ARRAY(&p->arena, struct kp_sample_label, l->samples.n + 1);
    uint32_t bytes = 0;
    for (; p->n_samples < l->samples.n; p->n_samples++) {
        const struct kp_legacy_sample *s = &l->samples.items[p->n_samples];
        p->samples[p->n_samples] =
            (struct kp_sample){.first_frame = p->n_frames, .n_frames = s->n, .first_label = p->n_labels};
        memcpy(p->values + (size_t)p->n_samples * l->n_types, s->values, l->n_types * sizeof *s->values);
        for (uint32_t k = 0; k < s->n; k++)
            p->frames[p->n_frames++] = m->frames[s->first + k];
        if (s->block_bytes == 0)
            continue;
        bytes = bytes ? bytes : add_string(m, "bytes");
        p->labels[p->n_labels++] = (struct kp_sample_label){.key = bytes, .num = s->block_bytes};
        p->samples[p->n_samples].n_labels = 1;
    }
}

static void add_head(struct making *m)
{
    struct kp_profile *p = m->p;
    const struct kp_legacy *l = m->l;
    p->sample_types = KP_ARENA_ARRAY(&p->arena, struct kp_value_type, 4);
    for (; p->n_sample_types < l->n_types; p->n_sample_types++) {
        p->sample_types[p->n_sample_types].type = add_string(m, l->types[p->n_sample_types]);
        p->sample_types[p->n_sample_types].unit = add_string(m, l->units[p->n_sample_types]);
    }
    p->has_period_type = true;
    p->period_type.type = add_string(m, l->period_type);
    p->period_type.unit = add_string(m, l->period_unit);
    p->period = l->period;
    p->duration_ns = l->duration_ns;
    const char *keep;
    p->drop_frames = add_string(m, kp_legacy_drop_frames(l->types[0], l->n_types, &keep));
    p->keep_frames = add_string(m, keep);
}

// What decoding and encoding expect to be there.
static void add_rest(struct making *m)
{
    struct kp_profile *p = m->p;
    p->strings = KP_ARENA_ARRAY(&p->arena, struct kp_str, m->strings->n_strings);
    for (; p->n_strings < m->strings->n_strings; p->n_strings++) {
        struct kp_str s = m->strings->strings[p->n_strings];
        p->strings[p->n_strings] = (struct kp_str){kp_arena_memdup(&p->arena, s.data, s.len), s.len};
    }
    if (p->lines == NULL)
        p->lines = KP_ARENA_ARRAY(&p->arena, struct kp_line, 1);
    if (p->functions == NULL)
        p->functions = KP_ARENA_ARRAY(&p->arena, struct kp_function, 1);
    p->comments = KP_ARENA_ARRAY(&p->arena, uint32_t, 1);
}

static int make(struct kp_legacy *l, struct kp_profile **ret)
{
    struct making m = {
        .l = l, .p = KP_NEW(struct kp_profile), .strings = kp_symbols_create(KP_SYMBOLS_EXACT)};
    m.p->legacy = true;
    add_head(&m);
    number_locations(&m);
    int rc = add_locations(&m);
    const struct {
        size_t n;
        const char *what;
    } rows[] = {
        {m.places.addresses.n, "locations"}, {l->mappings.n, "mappings"}, {m.strings->n_strings, "strings"}};
    for (size_t i = 0; i < KP_COUNT(rows) && rc == 0; i++)
        if (rows[i].n > l->max_samples)
            rc = kp_fail(l->err, KP_LIMIT, "more than %zu %s", l->max_samples, rows[i].what);
    if (rc == 0) {
        drop_leaf_twins(&m);
        add_samples(&m);
        add_rest(&m);
        *ret = kp_take(m.p);
    }
    kp_profile_free(m.p);
    kp_symbols_destroy(m.strings);
    kp_free(m.frames);
    kp_free(m.places.slots);
    kp_array_free(&m.places.addresses);
    return rc;
}

static void clear(struct kp_legacy *l)
{
    for (size_t i = 0; i < l->mappings.n; i++) {
        kp_free(l->mappings.items[i].file);
        kp_free(l->mappings.items[i].build_id);
    }
    kp_array_free(&l->samples);
    kp_array_free(&l->addresses);
    kp_array_free(&l->mappings);
    kp_free(l->name);
}

static int parse(struct kp_legacy *l, const void *data, size_t len)
{
    int (*const texts[])(struct kp_legacy *, struct kp_text) = {
        kp_legacy_heap, kp_legacy_count, kp_legacy_threads, kp_legacy_contention, kp_legacy_java};
    int rc = kp_legacy_cpu(l, data, len);
    for (size_t i = 0; i < KP_COUNT(texts) && rc == KP_NOT_FOUND; i++) {
        const struct kp_legacy fresh = {.max_samples = l->max_samples,
            .max_depth = l->max_depth,
            .max_addresses = l->max_addresses,
            .err = l->err};
        clear(l);
        kp_error_clear(l->err);
        *l = fresh;
        rc = texts[i](l, (struct kp_text){data, len});
    }
    return rc;
}

int kp_profile_decode_legacy(const void *data, size_t len, const struct kp_profile_limits *limits,
    struct kp_profile **ret, struct kp_error *err)
{
    const struct kp_profile_limits use = kp_profile_limits_of(limits);
    struct kp_error why = {0};
    struct kp_legacy l = {.max_samples = use.max_entities,
        .max_depth = use.max_depth,
        .max_addresses = 4 * use.max_entities,
        .err = &why};
    int rc = parse(&l, data, len);
    if (rc == 0)
        rc = make(&l, ret);
    clear(&l);
    return rc == 0 ? 0 : kp_fail(err, rc, "%s", why.text);
}

static void copy_string(char *out, size_t size, struct kp_str s)
{
    kp_printable(out, size, s.data, s.len);
}

int kp_profile_check_legacy(const void *data, size_t len, const struct kp_profile_limits *limits,
    struct kp_profile_summary *ret, struct kp_error *err)
{
    kp_auto_profile *p = NULL;
    struct kp_error why = {0};
    int rc = kp_profile_decode_legacy(data, len, limits, &p, &why);
    if (rc == KP_NOT_FOUND)
        return err->code;
    *err = why;
    if (rc != 0)
        return rc;
    *ret = (struct kp_profile_summary){.n_samples = p->n_samples,
        .n_locations = p->n_locations,
        .n_mappings = p->n_mappings,
        .n_strings = p->n_strings,
        .n_sample_types = p->n_sample_types,
        .inflated_bytes = len,
        .duration_ns = p->duration_ns,
        .period = p->period,
        .legacy = true};
    if (p->n_sample_types > 0) {
        copy_string(ret->first_type, sizeof ret->first_type, p->strings[p->sample_types[0].type]);
        copy_string(ret->first_unit, sizeof ret->first_unit, p->strings[p->sample_types[0].unit]);
    }
    if (p->n_mappings > 0)
        copy_string(ret->build_id, sizeof ret->build_id, p->strings[p->mappings[0].build_id]);
    return 0;
}
