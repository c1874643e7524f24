#include "profile/symbols_guess.h"

#include "profile/symbols_private.h"
#include "base/banned.h"

static inline uint32_t hash_guess(
    const struct kp_symbols_index *x, const struct kp_sym_location *l, const struct kp_line *lines)
{
    uint64_t line = l->n_lines > 0 ? (uint64_t)lines[0].line : 0;
    return kp_symbols_fold(kp_keyed_pair(&x->key, x->key.start ^ line, l->address, l->mapping));
}

static struct kp_symbols_slot *find_guess(struct kp_symbols_table *t, uint32_t h)
{
    uint32_t at = h & t->mask;
    while (t->slots[at].id1 != 0 && t->slots[at].hash != h)
        at = (at + 1) & t->mask;
    return &t->slots[at];
}

void kp_symbols_guess_put(struct kp_symbols *s, uint32_t hash, uint32_t location)
{
    struct kp_symbols_slot *slot = find_guess(&s->index->guesses, hash);
    if (slot->id1 != 0)
        slot->id1 = location + 1;
    else
        kp_symbols_table_put(&s->index->guesses, hash, location);
}

static void make_guesses(struct kp_symbols *s)
{
    struct kp_symbols_index *x = s->index;
    kp_symbols_table_init(&x->guesses);
    for (uint32_t i = 0; i < s->n_locations; i++) {
        const struct kp_sym_location *l = &s->locations[i];
        kp_symbols_guess_put(s, hash_guess(x, l, s->lines + l->first_line), i);
    }
}

uint32_t kp_symbols_guess(struct kp_symbols *s, const struct kp_sym_location *location,
    const struct kp_line *lines, uint32_t *ret_hash)
{
    struct kp_symbols_index *x = s->index;
    if (x->guesses.slots == NULL)
        make_guesses(s);
    *ret_hash = hash_guess(x, location, lines);
    return find_guess(&x->guesses, *ret_hash)->id1 - 1;
}

void kp_symbols_guess_all(
    struct kp_symbols *s, const struct kp_profile *p, const uint32_t *mappings, uint32_t *ret)
{
    struct kp_symbols_index *x = s->index;
    if (x->guesses.slots == NULL)
        make_guesses(s);
    for (uint32_t i = 0; i < p->n_locations; i++) {
        const struct kp_location *from = &p->locations[i];
        bool has = from->mapping != KP_NO_MAPPING;
        struct kp_sym_location l = {.address = from->address - (has ? p->mappings[from->mapping].start : 0),
            .mapping = has ? mappings[from->mapping] : KP_NO_MAPPING,
            .n_lines = from->n_lines};
        const struct kp_line *lines = l.n_lines == 0 ? NULL : p->lines + from->first_line;
        ret[i] = find_guess(&x->guesses, hash_guess(x, &l, lines))->id1 - 1;
    }
}
