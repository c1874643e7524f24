// What is stored, digested as kp_profile_digest() digests a profile, without making one of it.
#include "base/alloc.h"
#include "profile/digest.h"
#include "store/segment_private.h"
#include "base/banned.h"

static uint64_t *reserve(uint64_t *hashes, uint32_t n, uint32_t *cap)
{
    if (n <= *cap)
        return hashes;
    *cap = n > UINT32_MAX / 2 ? n : 2 * n;
    return kp_grow(hashes, *cap, sizeof *hashes);
}

void kp_symbol_hashes_extend(struct kp_symbol_hashes *h, const struct kp_symbols *s)
{
    h->strings = reserve(h->strings, s->n_strings, &h->cap_strings);
    for (; h->n_strings < s->n_strings; h->n_strings++)
        h->strings[h->n_strings] = kp_digest_string(s->strings[h->n_strings]);
    h->functions = reserve(h->functions, s->n_functions, &h->cap_functions);
    for (; h->n_functions < s->n_functions; h->n_functions++)
        h->functions[h->n_functions] = kp_digest_function(&s->functions[h->n_functions], h->strings);
    h->mappings = reserve(h->mappings, s->n_mappings, &h->cap_mappings);
    for (; h->n_mappings < s->n_mappings; h->n_mappings++) {
        const struct kp_sym_mapping *m = &s->mappings[h->n_mappings];
        h->mappings[h->n_mappings] = kp_digest_mapping(
            m->size, m->offset, h->strings[m->filename], h->strings[m->build_id], m->flags, m->ordinal);
    }
    h->locations = reserve(h->locations, s->n_locations, &h->cap_locations);
    for (; h->n_locations < s->n_locations; h->n_locations++) {
        const struct kp_sym_location *l = &s->locations[h->n_locations];
        uint64_t mapping = l->mapping == KP_NO_MAPPING ? 0 : h->mappings[l->mapping];
        h->locations[h->n_locations] = kp_digest_location(
            mapping, l->address, l->folded, s->lines + l->first_line, l->n_lines, h->functions);
    }
    h->nodes = reserve(h->nodes, s->n_nodes, &h->cap_nodes);
    for (; h->n_nodes < s->n_nodes; h->n_nodes++) {
        const struct kp_sym_node *n = &s->nodes[h->n_nodes];
        h->nodes[h->n_nodes] = h->n_nodes == 0
                                   ? KP_DIGEST_EMPTY_STACK
                                   : kp_digest_frame(h->nodes[n->parent], h->locations[n->location]);
    }
    h->sets = reserve(h->sets, s->n_label_sets, &h->cap_sets);
    for (; h->n_sets < s->n_label_sets; h->n_sets++) {
        const uint32_t *at = &s->label_sets[h->n_sets];
        h->sets[h->n_sets] = kp_digest_labels(s->labels + at[0], at[1] - at[0], h->strings);
    }
}

size_t kp_symbol_hashes_bytes(const struct kp_symbol_hashes *h)
{
    return sizeof(uint64_t) * ((size_t)h->cap_strings + h->cap_functions + h->cap_mappings +
                                  h->cap_locations + h->cap_nodes + h->cap_sets);
}

void kp_symbol_hashes_finish(struct kp_symbol_hashes *h)
{
    kp_free(h->strings);
    kp_free(h->functions);
    kp_free(h->mappings);
    kp_free(h->locations);
    kp_free(h->nodes);
    kp_free(h->sets);
    *h = (struct kp_symbol_hashes){0};
}

void kp_block_digest(const struct kp_symbol_hashes *h, const uint32_t *entry_node,
    const uint32_t *entry_labels, const struct kp_block *b, uint32_t index, const struct kp_profile *shape,
    struct kp_digest *ret)
{
    int64_t values[KP_MAX_SAMPLE_TYPES] = {0};
    struct kp_digest d = {0};
    for (uint32_t s = b->first[index]; s < b->first[index + 1]; s++) {
        uint32_t entry = b->entries[s];
        for (uint32_t t = 0; t < b->n_types; t++)
            values[t] = b->values[(size_t)t * b->n_samples + s];
        kp_digest_add_sample(
            &d, h->nodes[entry_node[entry]], h->sets[entry_labels[entry]], values, b->n_types);
    }
    struct kp_profile header = *shape;
    header.time_ns = b->time_ns[index];
    header.duration_ns = b->duration_ns[index];
    kp_auto_free uint64_t *strings = KP_NEW_ARRAY(uint64_t, (size_t)header.n_strings + 1);
    for (uint32_t i = 0; i < header.n_strings; i++)
        strings[i] = kp_digest_string(header.strings[i]);
    kp_digest_add_header(&d, &header, strings);
    *ret = d;
}
