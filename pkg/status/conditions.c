// What each condition means (see docs/crd.md) and the sentences that go with it.
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "status/builder.h"
#include "base/banned.h"

static const char *const names[KP_COND_COUNT] = {
    [KP_COND_READY] = "Ready",
    [KP_COND_ACCEPTED] = "Accepted",
    [KP_COND_DISCOVERED] = "TargetsDiscovered",
    [KP_COND_FEASIBLE] = "Feasible",
    [KP_COND_SUCCEEDING] = "CapturesSucceeding",
};

const char *kp_condition_name(enum kp_condition condition)
{
    return names[condition];
}

struct verdict {
    enum kp_condition_status status;
    char reason[64];
    char message[480];
};

KP_PRINTF(4, 5)
static void say(struct verdict *v, enum kp_condition_status status, const char *reason, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    v->status = status;
    kp_copy(v->reason, sizeof v->reason, reason);
    vsnprintf(v->message, sizeof v->message, fmt, args);
    va_end(args);
}

static void judge_accepted(
    const struct kp_policy *policy, const struct kp_policy_summary *summary, struct verdict *v)
{
    if (policy->reject_reason != NULL)
        say(v, KP_COND_FALSE, policy->reject_reason, "%s", policy->reject_message);
    else if (summary->ref_problem != NULL)
        say(v, KP_COND_FALSE, "ReferenceNotResolved", "%s", summary->ref_problem);
    else
        say(v, KP_COND_TRUE, "Accepted", "the spec is understood");
}

static void judge_discovered(
    const struct kp_policy *policy, const struct kp_policy_summary *summary, struct verdict *v)
{
    if (policy->reject_reason != NULL)
        say(v, KP_COND_FALSE, "NotAccepted", "the policy is not accepted, so it selects nothing");
    else if (policy->suspend)
        say(v, KP_COND_TRUE, "Suspended",
            "the policy is suspended: nothing is selected until spec.suspend is false");
    else if (!summary->synced && summary->trouble != NULL)
        say(v, KP_COND_UNKNOWN, "CachesNotSynced", "%s", summary->trouble);
    else if (!summary->synced)
        say(v, KP_COND_UNKNOWN, "CachesNotSynced", "pods and policies are being read from the API server");
    else if (summary->matched == 0)
        say(v, KP_COND_TRUE, "NoPods", "no pod matches the selector now");
    else if (summary->selected == 0 && summary->left_out > 0)
        say(v, KP_COND_TRUE, "NoTargets", "%u pods match, none can be profiled now; see status.failures",
            summary->matched);
    else if (summary->selected == 0)
        say(v, KP_COND_TRUE, "NoTargets", "%u pods match, none is to be profiled: not opted in, or finished",
            summary->matched);
    else
        say(v, KP_COND_TRUE, "TargetsFound", "%u targets of %u pods", summary->selected, summary->matched);
}

static void judge_feasible(
    const struct kp_policy *policy, const struct kp_policy_summary *summary, struct verdict *v)
{
    const char *message = summary->feasible_message != NULL ? summary->feasible_message : "";
    if (policy->reject_reason != NULL || policy->suspend || summary->selected == 0)
        say(v, KP_COND_UNKNOWN, "NothingPlanned", "there is nothing to plan");
    else if (summary->feasible)
        say(v, KP_COND_TRUE, "Fits", "%s",
            message[0] != '\0' ? message : "the schedule fits budgets and concurrency");
    else
        say(v, KP_COND_FALSE, summary->feasible_reason != NULL ? summary->feasible_reason : "Stretched", "%s",
            message);
}

// The failure that tells most about a type.
static const struct kp_failure_summary *failure_of(const struct kp_policy_summary *summary, const char *type)
{
    const struct kp_failure_summary *found = NULL;
    for (size_t i = 0; i < summary->n_failures && i < KP_STATUS_MAX_FAILURES; i++) {
        const struct kp_failure_summary *failure = &summary->failures[i];
        if (kp_streq(failure->type, type) && failure->message != NULL &&
            (found == NULL || failure->targets > found->targets))
            found = failure;
    }
    return found;
}

// False when more than half of the sampled targets failed their last attempt of some type.
static void judge_succeeding(
    const struct kp_policy_summary *summary, const struct kp_condition_state *old, struct verdict *v)
{
    uint32_t tried = 0;
    const struct kp_type_summary *worst = NULL;
    for (size_t i = 0; i < summary->n_types; i++) {
        const struct kp_type_summary *type = &summary->types[i];
        tried += type->tried;
        if (2 * type->failed > summary->sampled && (worst == NULL || type->failed > worst->failed))
            worst = type;
    }
    const struct kp_failure_summary *example = worst != NULL ? failure_of(summary, worst->type) : NULL;
    if (summary->sampled == 0)
        say(v, KP_COND_UNKNOWN, "NoTargets", "there is no target to capture from");
    else if (worst != NULL && example != NULL)
        say(v, KP_COND_FALSE, example->reason, "%s failed on %u of %u targets: %s", worst->type,
            worst->failed, summary->sampled, example->message);
    else if (worst != NULL)
        say(v, KP_COND_FALSE, "Failing", "%s failed on %u of %u targets", worst->type, worst->failed,
            summary->sampled);
    else if (tried == 0 && old->status != KP_COND_UNKNOWN) // another sample, or this program began anew
        say(v, old->status, old->reason, "%s", old->message);
    else if (tried == 0)
        say(v, KP_COND_UNKNOWN, "NoResults", "no capture has ended yet");
    else if (summary->failing > 0)
        say(v, KP_COND_TRUE, "SomeFailing", "%u of %u targets fail; see status.failures", summary->failing,
            summary->sampled);
    else
        say(v, KP_COND_TRUE, "Capturing", "captures succeed");
}

// Ready = Accepted and TargetsDiscovered; a suspended policy is ready.
static void judge_ready(const struct kp_policy *policy, const struct verdict *all, struct verdict *v)
{
    const struct verdict *accepted = &all[KP_COND_ACCEPTED], *discovered = &all[KP_COND_DISCOVERED];
    const struct verdict *succeeding = &all[KP_COND_SUCCEEDING];
    if (accepted->status == KP_COND_FALSE)
        say(v, KP_COND_FALSE, accepted->reason, "%s", accepted->message);
    else if (policy->suspend)
        say(v, KP_COND_TRUE, "Suspended", "%s", discovered->message);
    else if (discovered->status == KP_COND_TRUE && succeeding->status == KP_COND_FALSE)
        say(v, KP_COND_TRUE, "Ready", "%s, but %s", discovered->message, succeeding->message);
    else
        say(v, discovered->status, discovered->status == KP_COND_TRUE ? "Ready" : discovered->reason, "%s",
            discovered->message);
}

static bool settle(
    struct kp_condition_state *state, const struct verdict *v, int64_t now_ms, bool *ret_transition)
{
    *ret_transition = state->status != v->status || state->since_ms == 0;
    bool changed = *ret_transition || strcmp(state->reason, v->reason) != 0;
    if (*ret_transition)
        state->since_ms = now_ms;
    state->status = v->status;
    kp_copy(state->reason, sizeof state->reason, v->reason);
    kp_copy(state->message, sizeof state->message, v->message);
    return changed;
}

bool kp_policy_status_waits(const struct kp_policy_status *status, const struct kp_policy *policy,
    const struct kp_policy_summary *summary)
{
    return !summary->synced && summary->trouble == NULL && policy->reject_reason == NULL &&
           summary->ref_problem == NULL && status->conditions[KP_COND_DISCOVERED].since_ms != 0;
}

bool kp_policy_status_conditions(struct kp_policy_status *status, const struct kp_policy *policy,
    const struct kp_policy_summary *summary, int64_t now_ms, unsigned *ret_transitions)
{
    struct verdict all[KP_COND_COUNT] = {0};
    bool changed = false;
    judge_accepted(policy, summary, &all[KP_COND_ACCEPTED]);
    judge_discovered(policy, summary, &all[KP_COND_DISCOVERED]);
    judge_feasible(policy, summary, &all[KP_COND_FEASIBLE]);
    judge_succeeding(summary, &status->conditions[KP_COND_SUCCEEDING], &all[KP_COND_SUCCEEDING]);
    judge_ready(policy, all, &all[KP_COND_READY]);
    *ret_transitions = 0;
    for (int i = 0; i < KP_COND_COUNT; i++) {
        bool transition;
        bool differs = settle(&status->conditions[i], &all[i], now_ms, &transition);
        changed |= differs;
        // Ready stays true through suspend and resume, which are news all the same
        *ret_transitions |= transition || (differs && i == KP_COND_READY) ? 1u << i : 0;
    }
    return changed;
}
