// What one pass over all workloads adds up: a summary of each policy, and how many targets there are in all.
// A pass is cut into slices; pods, targets and policies come and go meanwhile, so texts are copied.
#ifndef KP_CONTROLLER_ACCOUNTS_H
#define KP_CONTROLLER_ACCOUNTS_H

#include <stdbool.h>
#include <stdint.h>

#include "controller/inventory.h"
#include "plan/plan.h"
#include "status/status.h"

struct kp_accounts;

struct kp_target_totals {
    uint32_t selected, sampled, failing, left_out; // once, however many policies select them
};

// Of the policies and workloads there are now.
struct kp_accounts *kp_accounts_create(const struct kp_inventory *inventory);
void kp_accounts_destroy(struct kp_accounts *accounts); // NULL is fine
// Adds pods and targets for about slice_us; false when all were added.
bool kp_accounts_step(struct kp_accounts *accounts, const struct kp_inventory *inventory,
    struct kp_plan *plan, int64_t now_ms, int64_t slice_us);
const struct kp_target_totals *kp_accounts_totals(const struct kp_accounts *accounts);
// Hands out policies, as they were when the pass began, each once, for about slice_us; false when all were.
// The summary's texts live as long as the accounts.
bool kp_accounts_each(struct kp_accounts *accounts,
    void (*each)(void *user, const struct kp_policy *policy, struct kp_policy_summary *summary), void *user,
    int64_t slice_us);

#endif
