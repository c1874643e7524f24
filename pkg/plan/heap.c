#include "plan/heap.h"

#include "base/alloc.h"
#include "base/banned.h"

static void put(struct kp_heap *heap, size_t at, struct kp_heap_node *node)
{
    heap->nodes[at] = node;
    node->place = at + 1;
}

static void up(struct kp_heap *heap, size_t at)
{
    struct kp_heap_node *node = heap->nodes[at];
    while (at > 0 && heap->nodes[(at - 1) / 2]->due_ms > node->due_ms) {
        put(heap, at, heap->nodes[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    put(heap, at, node);
}

static void down(struct kp_heap *heap, size_t at)
{
    struct kp_heap_node *node = heap->nodes[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= heap->n)
            break;
        if (child + 1 < heap->n && heap->nodes[child + 1]->due_ms < heap->nodes[child]->due_ms)
            child++;
        if (heap->nodes[child]->due_ms >= node->due_ms)
            break;
        put(heap, at, heap->nodes[child]);
        at = child;
    }
    put(heap, at, node);
}

void kp_heap_set(struct kp_heap *heap, struct kp_heap_node *node, int64_t due_ms)
{
    if (node->place == 0) {
        if (heap->n == heap->cap) {
            heap->cap = heap->cap != 0 ? heap->cap * 2 : 64;
            heap->nodes = kp_grow(heap->nodes, heap->cap, sizeof(struct kp_heap_node *));
        }
        put(heap, heap->n++, node);
    }
    node->due_ms = due_ms;
    up(heap, node->place - 1);
    down(heap, node->place - 1);
}

void kp_heap_remove(struct kp_heap *heap, struct kp_heap_node *node)
{
    if (node->place == 0)
        return;
    size_t at = node->place - 1;
    node->place = 0;
    struct kp_heap_node *last = heap->nodes[--heap->n];
    if (last == node)
        return;
    put(heap, at, last);
    up(heap, at);
    down(heap, last->place - 1);
}

struct kp_heap_node *kp_heap_first(const struct kp_heap *heap)
{
    return heap->n > 0 ? heap->nodes[0] : NULL;
}

void kp_heap_finish(struct kp_heap *heap)
{
    kp_free(heap->nodes);
    *heap = (struct kp_heap){0};
}
