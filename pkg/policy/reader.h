// Inside policy only: reading fields of an object under bounds. NULL or absent leaves the default; what is
// wrong rejects the policy with the first problem found.
#ifndef KP_POLICY_READER_H
#define KP_POLICY_READER_H

#include "base/arena.h"
#include "policy/policy.h"

struct kp_policy_reader {
    struct kp_policy *policy;
    struct kp_arena *arena;
    const struct kp_policy_caps *caps;
};

void kp_policy_reject(struct kp_policy_reader *p, const char *fmt, ...) KP_PRINTF(2, 3);
const char *kp_policy_get_string(
    struct kp_policy_reader *p, const json_t *object, const char *key, size_t max);
// A member of that kind, or NULL where there is none; one of another kind rejects the policy.
const json_t *kp_policy_get_object(struct kp_policy_reader *p, const json_t *object, const char *key);
const json_t *kp_policy_get_list(struct kp_policy_reader *p, const json_t *object, const char *key);
bool kp_policy_get_bool(struct kp_policy_reader *p, const json_t *object, const char *key);
int64_t kp_policy_get_duration(
    struct kp_policy_reader *p, const json_t *object, const char *key, int64_t fallback);
int64_t kp_policy_get_bytes(
    struct kp_policy_reader *p, const json_t *object, const char *key, int64_t fallback);
struct kp_int_or_percent kp_policy_get_share(
    struct kp_policy_reader *p, const json_t *object, const char *key, struct kp_int_or_percent fallback);
// The index of the text among the words (NULL-terminated), or fallback.
int kp_policy_get_choice(struct kp_policy_reader *p, const json_t *object, const char *key,
    const char *const *words, int fallback);
// A LabelSelector; NULL if it is not there. The caller's.
struct kp_selector *kp_policy_get_selector(struct kp_policy_reader *p, const json_t *object, const char *key);
// spec.endpoints into the policy.
void kp_policy_read_endpoints(struct kp_policy_reader *p, const json_t *list);

#endif
