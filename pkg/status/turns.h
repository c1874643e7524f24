// Whose turn it is to be written: the namespace that was written longest ago. One with many policies does not
// keep the others waiting.
#ifndef KP_STATUS_TURNS_H
#define KP_STATUS_TURNS_H

#include <stdint.h>

struct kp_turns; // NULL is an empty one

// When the namespace had its last turn, in turns; 0 = not yet.
uint64_t kp_turns_last(const struct kp_turns *turns, const char *namespace);
void kp_turns_take(struct kp_turns **turns, const char *namespace);
void kp_turns_clear(struct kp_turns **turns);

#endif
