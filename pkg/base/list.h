// Intrusive doubly linked list. The node lies inside the element; kp_container_of leads back.
#ifndef KP_BASE_LIST_H
#define KP_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct kp_list {
    struct kp_list *prev, *next;
};

#define kp_container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline void kp_list_init(struct kp_list *head)
{
    head->prev = head->next = head;
}

static inline bool kp_list_empty(const struct kp_list *head)
{
    return head->next == head;
}

static inline void kp_list_append(struct kp_list *head, struct kp_list *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

// Leaves the node initialised, so removing it twice is harmless.
static inline void kp_list_remove(struct kp_list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    node->prev = node->next = node;
}

#define kp_list_foreach(node, head)                                                                          \
    for (struct kp_list *node = (head)->next; node != (head); node = node->next)
// The element in hand may be removed.
#define kp_list_foreach_safe(node, head)                                                                     \
    for (struct kp_list *node = (head)->next, *node##_next = node->next; node != (head);                     \
         node = node##_next, node##_next = node->next)

#endif
