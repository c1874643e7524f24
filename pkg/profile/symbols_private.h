// The hash tables of a symbol space: symbols.c has what is looked up by what it says, symbols_stack.c the
// tree of stacks, symbols_guess.c the guesses. Private to this module.
#ifndef KP_PROFILE_SYMBOLS_PRIVATE_H
#define KP_PROFILE_SYMBOLS_PRIVATE_H

#include "base/alloc.h"
#include "profile/keyed.h"
#include "profile/symbols.h"

// Open addressing; the entity itself lies in its array.
struct kp_symbols_slot {
    uint32_t hash, id1; // id + 1; 0 = free
};

struct kp_symbols_table {
    struct kp_symbols_slot *slots;
    uint32_t mask, n;
};

struct kp_symbols_index {
    struct kp_keyed key;
    struct kp_arena *bytes; // of the strings
    struct kp_symbols_table strings, functions, mappings, locations, nodes, stacks, label_sets;
    struct kp_symbols_table guesses; // symbols_guess.h; without slots: none was asked for
    uint32_t *stacks_seen, n_stacks_seen, cap_stacks_seen; // symbols_stack.c
    uint32_t n_known_nodes; // that are in the table; those behind them get there when one is looked up
    uint32_t cap_strings, cap_functions, cap_mappings, cap_locations, cap_lines, cap_nodes, cap_sets,
        cap_labels;
};

void kp_symbols_table_init(struct kp_symbols_table *t);
void kp_symbols_table_resize(struct kp_symbols_table *t, uint32_t n_slots);
void kp_symbols_table_put(struct kp_symbols_table *t, uint32_t hash, uint32_t id);

// The nodes of many stacks, UINT32_MAX for each that is not known as a whole: the locations of stack i are
// those of samples[i]. Adds nothing.
void kp_symbols_find_stacks(const struct kp_symbols *symbols, const uint32_t *locations,
    const struct kp_sample *samples, uint32_t n, uint32_t *ret);

#define kp_symbols_table_foreach(t, h, id)                                                                   \
    for (uint32_t at_ = (h) & (t)->mask, id;                                                                 \
         (t)->slots[at_].id1 != 0 && ((id) = (t)->slots[at_].id1 - 1, 1); at_ = (at_ + 1) & (t)->mask)       \
        if ((t)->slots[at_].hash == (h))

#define kp_symbols_grow_to(array, n_more, cap)                                                               \
    do {                                                                                                     \
        if ((n_more) > (cap)) {                                                                              \
            (cap) = (n_more) > 2 * (cap) ? (n_more) + 16 : 2 * (cap);                                        \
            (array) = kp_grow((array), (cap), sizeof *(array));                                              \
        }                                                                                                    \
    } while (0)

static inline uint32_t kp_symbols_fold(uint64_t h)
{
    return (uint32_t)(h ^ h >> 32);
}

#endif
