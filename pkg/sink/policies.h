// How many captures of each policy wait. Keys are those of comma-separated lists ("shop/checkout,/all").
#ifndef KP_SINK_POLICIES_H
#define KP_SINK_POLICIES_H

#include <stdint.h>

struct kp_policy_counts; // NULL is an empty one

void kp_policy_counts_add(
    struct kp_policy_counts **counts, const char *policies, int by); // policies may be NULL
uint64_t kp_policy_counts_get(const struct kp_policy_counts *counts, const char *policy);
void kp_policy_counts_free(struct kp_policy_counts **counts);

#endif
