#include "profile/digest.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/banned.h"

uint64_t kp_digest_function(const struct kp_function *f, const uint64_t *h_strings)
{
    uint64_t h = kp_digest_mix(h_strings[f->name], h_strings[f->system_name] + 1);
    h = kp_digest_mix(h, h_strings[f->filename] + 2);
    return kp_digest_mix(h, (uint64_t)f->start_line);
}

uint64_t kp_digest_mapping(uint64_t size, uint64_t offset, uint64_t h_filename, uint64_t h_build_id,
    uint32_t flags, uint32_t ordinal)
{
    uint64_t h = kp_digest_mix(h_filename, h_build_id + 3);
    h = kp_digest_mix(h, size);
    h = kp_digest_mix(h, offset);
    h = kp_digest_mix(h, (uint64_t)flags << 32 | ordinal);
    return h == 0 ? 1 : h;
}

uint64_t kp_digest_location(uint64_t h_mapping, uint64_t address, bool folded, const struct kp_line *lines,
    uint32_t n_lines, const uint64_t *h_functions)
{
    uint64_t h = kp_digest_mix(h_mapping + folded, address);
    for (uint32_t i = 0; i < n_lines; i++) {
        h = kp_digest_mix(h, h_functions[lines[i].function]);
        h = kp_digest_mix(h, (uint64_t)lines[i].line * 3 + (uint64_t)lines[i].column * 7919);
    }
    return kp_digest_mix(h, n_lines);
}

uint64_t kp_digest_labels(const struct kp_sample_label *labels, uint32_t n, const uint64_t *h_strings)
{
    uint64_t sum = n;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t h = kp_digest_mix(h_strings[labels[i].key], h_strings[labels[i].str] + 4);
        h = kp_digest_mix(h, (uint64_t)labels[i].num);
        sum += kp_digest_mix(h, h_strings[labels[i].unit] + 5);
    }
    return sum;
}

struct kind {
    uint64_t h;
    uint32_t at;
};

static int by_kind(const void *a, const void *b)
{
    const struct kind *x = a;
    const struct kind *y = b;
    if (x->h != y->h)
        return x->h < y->h ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

void kp_mapping_ordinals(const struct kp_profile *p, uint32_t *ret)
{
    kp_auto_free struct kind *kinds = KP_NEW_ARRAY(struct kind, (size_t)p->n_mappings + 1);
    for (uint32_t i = 0; i < p->n_mappings; i++) {
        const struct kp_mapping *m = &p->mappings[i];
        kinds[i].at = i;
        kinds[i].h =
            kp_digest_mapping(m->limit - m->start, m->offset, kp_digest_string(p->strings[m->filename]),
                kp_digest_string(p->strings[m->build_id]), m->flags, 0);
    }
    if (p->n_mappings > 1)
        qsort(kinds, p->n_mappings, sizeof kinds[0], by_kind);
    uint32_t ordinal = 0;
    for (uint32_t i = 0; i < p->n_mappings; i++) {
        ordinal = i > 0 && kinds[i].h == kinds[i - 1].h ? ordinal + 1 : 0;
        ret[kinds[i].at] = ordinal;
    }
}

static uint64_t type_hash(struct kp_value_type t, const uint64_t *h_strings)
{
    return kp_digest_mix(h_strings[t.type], h_strings[t.unit] + 6);
}

void kp_digest_add_header(struct kp_digest *d, const struct kp_profile *p, const uint64_t *h_strings)
{
    uint64_t h = p->n_sample_types;
    for (uint32_t i = 0; i < p->n_sample_types; i++)
        h = kp_digest_mix(h, type_hash(p->sample_types[i], h_strings));
    h = kp_digest_mix(h, p->has_period_type ? type_hash(p->period_type, h_strings) : 0);
    h = kp_digest_mix(h, (uint64_t)p->time_ns);
    h = kp_digest_mix(h, (uint64_t)p->duration_ns);
    h = kp_digest_mix(h, (uint64_t)p->period);
    h = kp_digest_mix(h, h_strings[p->drop_frames]);
    h = kp_digest_mix(h, h_strings[p->keep_frames]);
    h = kp_digest_mix(h, h_strings[p->default_type]);
    h = kp_digest_mix(h, h_strings[p->doc_url]);
    for (uint32_t i = 0; i < p->n_comments; i++)
        h = kp_digest_mix(h, h_strings[p->comments[i]]);
    for (uint32_t i = 0; i < p->n_mappings; i++) {
        const struct kp_mapping *m = &p->mappings[i];
        h = kp_digest_mix(h, kp_digest_mapping(m->limit - m->start, m->offset, h_strings[m->filename],
                                 h_strings[m->build_id], m->flags, 0));
        h = kp_digest_mix(h, m->start);
    }
    d->lo ^= h;
    d->hi ^= kp_digest_mix(h, 7);
}

struct hashes {
    uint64_t *strings, *functions, *mappings, *locations;
};

static void hash_tables(const struct kp_profile *p, struct hashes *h)
{
    kp_auto_free uint32_t *ordinals = KP_NEW_ARRAY(uint32_t, (size_t)p->n_mappings + 1);
    kp_mapping_ordinals(p, ordinals);
    for (uint32_t i = 0; i < p->n_strings; i++)
        h->strings[i] = kp_digest_string(p->strings[i]);
    for (uint32_t i = 0; i < p->n_functions; i++)
        h->functions[i] = kp_digest_function(&p->functions[i], h->strings);
    for (uint32_t i = 0; i < p->n_mappings; i++) {
        const struct kp_mapping *m = &p->mappings[i];
        h->mappings[i] = kp_digest_mapping(m->limit - m->start, m->offset, h->strings[m->filename],
            h->strings[m->build_id], m->flags, ordinals[i]);
    }
    for (uint32_t i = 0; i < p->n_locations; i++) {
        const struct kp_location *l = &p->locations[i];
        bool mapped = l->mapping != KP_NO_MAPPING;
        h->locations[i] = kp_digest_location(mapped ? h->mappings[l->mapping] : 0,
            l->address - (mapped ? p->mappings[l->mapping].start : 0), l->folded,
            l->n_lines == 0 ? NULL : p->lines + l->first_line, l->n_lines, h->functions);
    }
}

struct kp_digest kp_profile_digest(const struct kp_profile *p)
{
    struct kp_digest d = {0};
    struct hashes h = {.strings = KP_NEW_ARRAY(uint64_t, (size_t)p->n_strings + 1),
        .functions = KP_NEW_ARRAY(uint64_t, (size_t)p->n_functions + 1),
        .mappings = KP_NEW_ARRAY(uint64_t, (size_t)p->n_mappings + 1),
        .locations = KP_NEW_ARRAY(uint64_t, (size_t)p->n_locations + 1)};
    hash_tables(p, &h);
    for (uint32_t i = 0; i < p->n_samples; i++) {
        const struct kp_sample *s = &p->samples[i];
        uint64_t stack = KP_DIGEST_EMPTY_STACK;
        for (uint32_t k = s->n_frames; k-- > 0;)
            stack = kp_digest_frame(stack, h.locations[p->frames[s->first_frame + k]]);
        const struct kp_sample_label *labels = s->n_labels == 0 ? NULL : p->labels + s->first_label;
        kp_digest_add_sample(&d, stack, kp_digest_labels(labels, s->n_labels, h.strings),
            p->values + (size_t)i * p->n_sample_types, p->n_sample_types);
    }
    kp_digest_add_header(&d, p, h.strings);
    kp_free(h.strings);
    kp_free(h.functions);
    kp_free(h.mappings);
    kp_free(h.locations);
    return d;
}
