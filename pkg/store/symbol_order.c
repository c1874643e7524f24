// The order in which a dictionary numbers locations and nodes; linear, since every space is put in order at
// least twice.
#include <string.h>

#include "base/alloc.h"
#include "store/segment_private.h"
#include "base/banned.h"

#define KEY_BYTES 12 // 8 of the address, then 4 of the mapping

static unsigned key_byte(const struct kp_sym_location *l, unsigned i)
{
    return (i < 8 ? (unsigned)(l->address >> 8 * i) : l->mapping >> 8 * (i - 8)) & 0xff;
}

// Byte after byte from the least significant on; what all have in common costs nothing.
void kp_order_locations(const struct kp_symbols *s, uint32_t *ret_order)
{
    uint32_t n = s->n_locations;
    uint32_t counts[KEY_BYTES][256] = {{0}};
    kp_auto_free uint32_t *scratch = kp_grow(NULL, (size_t)n + 1, sizeof *scratch);
    uint32_t *from = ret_order;
    uint32_t *to = scratch;
    for (uint32_t i = 0; i < n; i++) {
        from[i] = i;
        for (unsigned k = 0; k < KEY_BYTES; k++)
            counts[k][key_byte(&s->locations[i], k)]++;
    }
    for (unsigned k = 0; n > 0 && k < KEY_BYTES; k++) {
        uint32_t *starts = counts[k];
        if (starts[key_byte(&s->locations[0], k)] == n)
            continue;
        for (uint32_t v = 0, sum = 0; v < 256; v++) {
            uint32_t count = starts[v];
            starts[v] = sum;
            sum += count;
        }
        for (uint32_t i = 0; i < n; i++)
            to[starts[key_byte(&s->locations[from[i]], k)]++] = from[i];
        uint32_t *swap = from;
        from = to;
        to = swap;
    }
    if (from != ret_order)
        memcpy(ret_order, from, n * sizeof *ret_order);
}

// Sorts by a key below n_keys, keeping the order of equals. ret_starts[k]: where those of key k begin.
static void sort_by_key(const uint32_t *from, uint32_t *to, uint32_t n, const uint32_t *keys, uint32_t n_keys,
    uint32_t *ret_starts)
{
    memset(ret_starts, 0, ((size_t)n_keys + 1) * sizeof *ret_starts);
    for (uint32_t i = 0; i < n; i++)
        ret_starts[keys[from[i]] + 1]++;
    for (uint32_t k = 0; k < n_keys; k++)
        ret_starts[k + 1] += ret_starts[k];
    for (uint32_t i = 0; i < n; i++)
        to[ret_starts[keys[from[i]]]++] = from[i];
    memmove(ret_starts + 1, ret_starts, n_keys * sizeof *ret_starts);
    ret_starts[0] = 0;
}

void kp_order_nodes(const struct kp_symbols *s, const uint32_t *location_ranks, uint32_t *ret_order)
{
    uint32_t n = s->n_nodes;
    uint32_t n_keys = s->n_locations > n ? s->n_locations : n;
    kp_auto_free uint32_t *keys = kp_grow(NULL, n, sizeof *keys);
    kp_auto_free uint32_t *a = kp_grow(NULL, n, sizeof *a);
    kp_auto_free uint32_t *b = kp_grow(NULL, n, sizeof *b);
    kp_auto_free uint32_t *starts = kp_grow(NULL, (size_t)n_keys + 2, sizeof *starts);
    for (uint32_t i = 1; i < n; i++) {
        a[i - 1] = i;
        keys[i] = location_ranks[s->nodes[i].location];
    }
    sort_by_key(a, b, n - 1, keys, s->n_locations, starts);
    for (uint32_t i = 1; i < n; i++)
        keys[i] = s->nodes[i].parent;
    sort_by_key(b, a, n - 1, keys, n, starts);
    // b becomes the stack of what is still to be visited
    size_t n_stack = 0;
    uint32_t n_ordered = 0;
    b[n_stack++] = 0;
    while (n_stack > 0) {
        uint32_t node = b[--n_stack];
        ret_order[n_ordered++] = node;
        for (uint32_t i = starts[node + 1]; i-- > starts[node];)
            b[n_stack++] = a[i];
    }
}
