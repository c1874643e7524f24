// What the registry said of captures it did not take because their namespace has what it may, by policy: told
// as Feasible=False for a while. One sentence per policy, the last.
#ifndef KP_CONTROLLER_LIMITS_H
#define KP_CONTROLLER_LIMITS_H

#include <stdint.h>

struct kp_limit_notes;

struct kp_limit_notes *kp_limit_notes_create(void);
void kp_limit_notes_destroy(struct kp_limit_notes *notes); // NULL is fine
// policies as in a record: "ns/name,/name".
void kp_limit_notes_add(
    struct kp_limit_notes *notes, const char *policies, const char *message, int64_t mono_ms);
// The sentence, borrowed until the next call that changes something; NULL = there is none.
const char *kp_limit_notes_get(const struct kp_limit_notes *notes, const char *policy_key);
// Drops what is older than a quarter of an hour.
void kp_limit_notes_forget(struct kp_limit_notes *notes, int64_t mono_ms);

#endif
