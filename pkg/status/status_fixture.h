// Policies and summaries for the tests beside it.
#ifndef KP_STATUS_STATUS_FIXTURE_H
#define KP_STATUS_STATUS_FIXTURE_H

#include <string.h>

#include "base/clock.h"
#include "policy/policy_fixture.h"
#include "status/builder.h"

// Twelve targets of fourteen pods, six sampled, everything well.
static inline struct kp_policy_summary fixture_summary(void)
{
    return (struct kp_policy_summary){.synced = true,
        .refs_checked = true,
        .matched = 14,
        .selected = 12,
        .sampled = 6,
        .feasible = true,
        .n_types = 2,
        .types = {{"cpu", 6, 0}, {"heap", 6, 0}}};
}

static inline void fixture_failure(
    struct kp_policy_summary *s, const char *reason, const char *type, uint32_t targets, const char *message)
{
    s->failures[s->n_failures++] = (struct kp_failure_summary){.reason = reason,
        .type = type,
        .namespace = "shop",
        .pod = "checkout-1",
        .container = "app",
        .message = message,
        .targets = targets,
        .time_ms = 1700000000000};
}

#define FIXTURE_SPEC "{'selector': {}, 'profiles': [{'type': 'cpu'}, {'type': 'heap'}]}"

#endif
