// Whose turn it is to be written: of the namespaces that wait the one that was written longest ago. One with
// many policies does not keep the others waiting, nor is it gone through to find the next one.
#ifndef KP_STATUS_TURNS_H
#define KP_STATUS_TURNS_H

#include <stdbool.h>

#include "base/list.h"

struct kp_turns;

struct kp_turns *kp_turns_create(void);
void kp_turns_destroy(struct kp_turns *turns); // when nothing waits; NULL is fine
// The node, which is in no list, waits behind those of its namespace. Take it out by kp_list_remove().
void kp_turns_wait(struct kp_turns *turns, const char *namespace, struct kp_list *node);
// Takes out the node whose turn it is; NULL if none waits.
struct kp_list *kp_turns_take(struct kp_turns *turns);
bool kp_turns_empty(struct kp_turns *turns);

#endif
