// A binary heap of embedded nodes by due time; a node knows its place, so it can be taken out anywhere.
#ifndef KP_PLAN_HEAP_H
#define KP_PLAN_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kp_heap_node {
    int64_t due_ms;
    size_t place; // 1-based; 0 = not in the heap
};

struct kp_heap {
    struct kp_heap_node **nodes;
    size_t n, cap;
};

void kp_heap_set(struct kp_heap *heap, struct kp_heap_node *node, int64_t due_ms); // adds, or moves
void kp_heap_remove(struct kp_heap *heap, struct kp_heap_node *node);              // fine if it is not in
struct kp_heap_node *kp_heap_first(const struct kp_heap *heap);                    // NULL if empty
void kp_heap_finish(struct kp_heap *heap);

#endif
