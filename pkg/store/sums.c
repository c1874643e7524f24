#include "store/sums.h"

#include <string.h>
#include <sys/random.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/banned.h"

#define FIRST_ROWS  256
#define FIRST_SLOTS 64

static uint32_t add_row(struct kp_sums *sums, struct kp_sums_key key)
{
    uint32_t n_types = sums->n_types > 0 ? sums->n_types : 1;
    if (sums->n_rows == sums->cap) {
        sums->cap = sums->cap == 0 ? FIRST_ROWS : 2 * sums->cap;
        sums->keys = kp_grow(sums->keys, sums->cap, sizeof *sums->keys);
        sums->values = kp_grow(sums->values, sums->cap, n_types * sizeof *sums->values);
    }
    uint32_t row = sums->n_rows++;
    sums->keys[row] = key;
    memset(sums->values + (size_t)row * sums->n_types, 0, sums->n_types * sizeof *sums->values);
    return row;
}

// ---- without labels: by node ----

static uint32_t plain_row(struct kp_sums *sums, struct kp_sums_key key)
{
    if (key.node >= sums->n_plain) {
        uint32_t n = key.node + key.node / 2 + FIRST_ROWS;
        sums->plain = kp_grow(sums->plain, n, sizeof *sums->plain);
        memset(sums->plain + sums->n_plain, 0, (n - sums->n_plain) * sizeof *sums->plain);
        sums->n_plain = n;
    }
    if (sums->plain[key.node] == 0)
        sums->plain[key.node] = add_row(sums, key) + 1;
    return sums->plain[key.node] - 1;
}

// ---- with labels ----

static uint32_t first_slot(const struct kp_sums *sums, struct kp_sums_key key)
{
    uint64_t h = kp_hash64_mix(sums->seed, (uint64_t)key.label_set << 32 | key.node);
    return (uint32_t)(h ^ h >> 32) & sums->mask;
}

static void place(struct kp_sums *sums, uint32_t row1)
{
    uint32_t at = first_slot(sums, sums->keys[row1 - 1]);
    while (sums->slots[at] != 0)
        at = (at + 1) & sums->mask;
    sums->slots[at] = row1;
}

static void grow_slots(struct kp_sums *sums)
{
    uint32_t n = sums->slots ? 2 * (sums->mask + 1) : FIRST_SLOTS;
    uint32_t *old = sums->slots;
    uint32_t n_old = old ? sums->mask + 1 : 0;
    if (old == NULL && getrandom(&sums->seed, sizeof sums->seed, GRND_NONBLOCK) < 0)
        sums->seed = (uint64_t)(uintptr_t)sums;
    sums->slots = KP_NEW_ARRAY(uint32_t, n);
    sums->mask = n - 1;
    for (uint32_t i = 0; i < n_old; i++)
        if (old[i] != 0)
            place(sums, old[i]);
    kp_free(old);
}

static uint32_t labelled_row(struct kp_sums *sums, struct kp_sums_key key)
{
    if (sums->slots == NULL || sums->n_slots > sums->mask / 2)
        grow_slots(sums);
    for (uint32_t at = first_slot(sums, key); sums->slots[at] != 0; at = (at + 1) & sums->mask) {
        const struct kp_sums_key *other = &sums->keys[sums->slots[at] - 1];
        if (other->node == key.node && other->label_set == key.label_set)
            return sums->slots[at] - 1;
    }
    uint32_t row = add_row(sums, key);
    place(sums, row + 1);
    sums->n_slots++;
    return row;
}

uint32_t kp_sums_row(struct kp_sums *sums, struct kp_sums_key key)
{
    return key.label_set == 0 ? plain_row(sums, key) : labelled_row(sums, key);
}

size_t kp_sums_bytes(const struct kp_sums *sums)
{
    return sums->cap * (sizeof *sums->keys + sums->n_types * sizeof *sums->values) +
           sums->n_plain * sizeof *sums->plain +
           (sums->slots ? ((size_t)sums->mask + 1) * sizeof *sums->slots : 0);
}

void kp_sums_finish(struct kp_sums *sums)
{
    kp_free(sums->keys);
    kp_free(sums->values);
    kp_free(sums->plain);
    kp_free(sums->slots);
    *sums = (struct kp_sums){0};
}
