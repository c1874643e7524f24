// What each condition means (see docs/crd.md) and the sentences that go with it.
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
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

static const char *s_of(uint32_t n)
{
    return n == 1 ? "" : "s";
}

// Pods that match, none of which is a target: why, by reason. Those that only have to start are no trouble.
static void say_left_out(const struct kp_policy_summary *summary, struct verdict *v)
{
    static const char *const starting[] = {"NotRunning", "NotReady", "NoAddress"};
    char reasons[120] = "";
    uint32_t n_starting = 0;
    for (size_t i = 0; i < summary->n_failures && i < KP_STATUS_MAX_FAILURES; i++) {
        const struct kp_failure_summary *failure = &summary->failures[i];
        size_t used = strlen(reasons);
        if (failure->type[0] != '\0') // of a capture
            continue;
        snprintf(reasons + used, sizeof reasons - used, "%s%s %u", used > 0 ? ", " : ": ", failure->reason,
            failure->targets);
        for (size_t k = 0; k < KP_COUNT(starting); k++)
            n_starting += kp_streq(failure->reason, starting[k]) ? failure->targets : 0;
    }
    uint32_t n = summary->matched;
    const char *match = n == 1 ? "matches" : "match";
    if (n_starting == summary->left_out)
        say(v, KP_COND_TRUE, "NoTargets", "%u pod%s %s, none is ready to be profiled yet%s", n, s_of(n),
            match, reasons);
    else
        say(v, KP_COND_TRUE, "NoTargets", "%u pod%s %s, none can be profiled now%s; see status.failures", n,
            s_of(n), match, reasons);
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
    else if (summary->trouble != NULL)
        say(v, KP_COND_UNKNOWN, "WatchFailing", "%s", summary->trouble);
    else if (summary->matched == 0)
        say(v, KP_COND_TRUE, "NoPods", "no pod matches the selector now");
    else if (summary->selected == 0 && summary->left_out > 0)
        say_left_out(summary, v);
    else if (summary->selected == 0)
        say(v, KP_COND_TRUE, "NoTargets",
            "%u pod%s %s, none is to be profiled: opted out, not opted in, or finished", summary->matched,
            s_of(summary->matched), summary->matched == 1 ? "matches" : "match");
    else
        say(v, KP_COND_TRUE, "TargetsFound", "%u target%s of %u pod%s", summary->selected,
            s_of(summary->selected), summary->matched, s_of(summary->matched));
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
        say(v, KP_COND_FALSE, example->reason, "%s failed on %u of %u target%s: %s", worst->type,
            worst->failed, summary->sampled, s_of(summary->sampled), example->message);
    else if (worst != NULL)
        say(v, KP_COND_FALSE, "Failing", "%s failed on %u of %u target%s", worst->type, worst->failed,
            summary->sampled, s_of(summary->sampled));
    else if (tried == 0 && old->status != KP_COND_UNKNOWN) // another sample, or this program began anew
        say(v, old->status, old->reason, "%s", old->message);
    else if (tried == 0)
        say(v, KP_COND_UNKNOWN, "NoResults", "no capture has ended yet");
    else if (summary->failing > 0)
        say(v, KP_COND_TRUE, "SomeFailing", "%u of %u targets fail; see status.failures", summary->failing,
            summary->sampled);
    else if (summary->spooled > 0 && summary->spool_trouble != NULL)
        say(v, KP_COND_TRUE, "WaitingForRegistry", "captures are taken and wait for the registry: %s",
            summary->spool_trouble);
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
