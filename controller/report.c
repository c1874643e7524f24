#include "controller/report.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/text.h"
#include "controller/accounts.h"
#include "controller/limits.h"
#include "controller/secrets.h"
#include "controller/targetstate.h"
#include "base/banned.h"

#define SETTLE_MS     100
#define REPEAT_MS     5000  // after the rest, when nothing changed: what is due by the clock
#define POST_MS       1000  // a namespace's state goes out at most so often
#define POST_AGAIN_MS 60000 // a registry that was restarted learns it then
#define COST_FACTOR   300   // what took t is not repeated within 300 t,
#define MOST_REST_MS  5000  // but after so long: a busy machine must not make status old
#define IDLE_FACTOR   3000 // the same where nothing changed: an idle controller of many targets costs nothing
#define MOST_IDLE_MS  15000

struct ref_problem {
    char *policy, *problem;
    UT_hash_handle hh;
};

struct dirty_space {
    char *name;
    UT_hash_handle hh;
};

struct kp_report {
    struct kp_loop *loop;
    struct kp_report_options options;
    struct kp_timer *pass_timer, *post_timer, *all_timer;
    struct kp_accounts *accounts; // while a pass runs
    int64_t pass_us;              // that it took so far
    int64_t pass_rest_until_mono_ms;
    bool pass_due;
    bool is_in_trouble; // captures wait, and it was said
    struct dirty_space *dirty;
    struct kp_target_states *states;     // of a namespace that is about to be posted
    int64_t post_us, rest_until_mono_ms; // time a round of posts takes; when the next one may begin
    struct ref_problem *ref_problems;
    struct kp_limit_notes *limits;
    bool posting, status_trouble;
    struct kp_metric_family *targets;
    struct kp_metric *pass_seconds;
};

static int64_t rest_of(int64_t took_us)
{
    int64_t rest_ms = took_us * COST_FACTOR / 1000;
    return rest_ms < MOST_REST_MS ? rest_ms : MOST_REST_MS;
}

static int64_t idle_rest_of(int64_t took_us)
{
    int64_t rest_ms = took_us * IDLE_FACTOR / 1000;
    return rest_ms < MOST_IDLE_MS ? rest_ms : MOST_IDLE_MS;
}

// ---- one pass over everything ----

static const char *ref_problem_of(const struct kp_report *report, const char *policy_key)
{
    const struct ref_problem *known;
    HASH_FIND_STR(report->ref_problems, policy_key, known);
    return known != NULL ? known->problem : NULL;
}

static void ref_problem_free(struct kp_report *report, struct ref_problem *known)
{
    HASH_DEL(report->ref_problems, known);
    kp_free(known->policy);
    kp_free(known->problem);
    kp_free(known);
}

void kp_report_references(struct kp_report *report, const char *policy_key, const char *problem)
{
    struct ref_problem *known;
    if (report == NULL)
        return;
    HASH_FIND_STR(report->ref_problems, policy_key, known);
    if (known != NULL && kp_streq(known->problem, problem))
        return;
    if (known != NULL)
        ref_problem_free(report, known);
    if (problem != NULL && kp_inventory_policy(report->options.inventory, policy_key) != NULL) {
        known = KP_NEW(struct ref_problem);
        known->policy = kp_strdup(policy_key);
        known->problem = kp_strdup(problem);
        HASH_ADD_KEYPTR(hh, report->ref_problems, known->policy, strlen(known->policy), known);
    }
    kp_report_touch(report, NULL);
}

// A policy that is gone, or was changed so that it refers to nothing, has no problem any more.
static void forget_ref_problems(struct kp_report *report)
{
    struct ref_problem *known, *next;
    HASH_ITER (hh, report->ref_problems, known, next) {
        const struct kp_policy *policy = kp_inventory_policy(report->options.inventory, known->policy);
        bool refers = false;
        for (size_t i = 0; policy != NULL && i < policy->n_endpoints; i++)
            refers |= kp_endpoint_needs_secrets(&policy->endpoints[i]);
        if (!refers)
            ref_problem_free(report, known);
    }
}

void kp_report_limit(struct kp_report *report, const char *policies, const char *message)
{
    if (report == NULL)
        return;
    kp_limit_notes_add(report->limits, policies, message, kp_mono_ms());
    kp_report_touch(report, NULL);
}

struct ending {
    struct kp_report *report;
    bool synced;
    const char *trouble;
    int64_t now_ms;
};

static void end_account(void *user, const struct kp_policy *policy, struct kp_policy_summary *summary)
{
    const struct ending *ending = user;
    struct kp_report *report = ending->report;
    struct kp_feasible feasible = {.ok = true};
    if (kp_inventory_policy(report->options.inventory, policy->key) != policy)
        return; // gone or edited meanwhile: the next pass tells
    kp_plan_feasible(report->options.plan, policy->key, ending->now_ms, &feasible);
    summary->synced = ending->synced;
    summary->trouble =
        ending->synced ? report->options.trouble_of(report->options.user, policy->key) : ending->trouble;
    summary->refs_checked = true;
    summary->ref_problem = ref_problem_of(report, policy->key);
    summary->spooled = kp_sink_waiting_of(report->options.sink, policy->key);
    summary->spool_trouble = kp_sink_trouble(report->options.sink);
    summary->feasible = feasible.ok;
    summary->feasible_reason = feasible.reason;
    summary->feasible_message = feasible.message;
    const char *limit = kp_limit_notes_get(report->limits, policy->key);
    if (limit != NULL) { // what the plan could do does not help where the registry does not take it
        summary->feasible = false;
        summary->feasible_reason = "NamespaceLimit";
        summary->feasible_message = limit;
    }
    kp_statuses_update(report->options.statuses, policy->key, summary, ending->now_ms);
}

static void set_target_gauges(struct kp_report *report, const struct kp_target_totals *totals)
{
    const struct {
        const char *state;
        uint32_t n;
    } rows[] = {{"selected", totals->selected}, {"sampled", totals->sampled}, {"failing", totals->failing},
        {"left_out", totals->left_out}};
    for (size_t i = 0; i < KP_COUNT(rows); i++)
        kp_metric_set(kp_metric_with(report->targets, (const char *const[]){rows[i].state}), rows[i].n);
}

// Where status cannot be written the log is the place to say so, once.
static void tell_status_trouble(struct kp_report *report)
{
    const char *trouble = kp_statuses_trouble(report->options.statuses);
    if (trouble != NULL && !report->status_trouble)
        KP_WARN("status cannot be written; trying again", KP_S("message", trouble));
    else if (trouble == NULL && report->status_trouble)
        KP_SAY(KP_LOG_INFO, "status is written again");
    report->status_trouble = trouble != NULL;
}

// Once when it begins and once when it is over: the sentence may change with every try.
static void tell_trouble(struct kp_report *report)
{
    const char *trouble = kp_sink_trouble(report->options.sink);
    uint64_t n = kp_sink_waiting(report->options.sink);
    if (trouble != NULL && n > 0 && !report->is_in_trouble) {
        report->is_in_trouble = true;
        KP_WARN("captures wait: the registry does not take them", KP_I("captures", (int64_t)n),
            KP_S("error", trouble));
    } else if (trouble == NULL && report->is_in_trouble) {
        report->is_in_trouble = false;
        KP_INFO("captures are delivered again", KP_I("waiting", (int64_t)n));
    }
}

static void begin_pass(struct kp_report *report)
{
    report->pass_due = false;
    report->pass_us = 0;
    forget_ref_problems(report);
    kp_limit_notes_forget(report->limits, kp_mono_ms());
    report->accounts = kp_accounts_create(report->options.inventory);
}

// Policy by policy, for about slice_us; false when the pass is over.
static bool end_pass(struct kp_report *report, int64_t now_ms, int64_t slice_us)
{
    struct ending ending = {.report = report, .now_ms = now_ms};
    // not before what every policy selects is known; pods that change all the time do not hold it back
    ending.synced = report->options.synced(report->options.user, &ending.trouble) &&
                    kp_inventory_settled(report->options.inventory);
    if (kp_accounts_each(report->accounts, end_account, &ending, slice_us))
        return true;
    tell_trouble(report);
    kp_statuses_measure(report->options.statuses);
    set_target_gauges(report, kp_accounts_totals(report->accounts));
    tell_status_trouble(report);
    kp_accounts_destroy(report->accounts);
    report->accounts = NULL;
    return false;
}

static void on_pass(void *user)
{
    struct kp_report *report = user;
    int64_t start_us = kp_mono_us(), now = kp_now_ms(), slice_us = kp_loop_slice_us(report->loop);
    if (report->accounts == NULL)
        begin_pass(report);
    bool more =
        kp_accounts_step(report->accounts, report->options.inventory, report->options.plan, now, slice_us);
    if (!more)
        more = end_pass(report, now, slice_us - (kp_mono_us() - start_us));
    report->pass_us += kp_mono_us() - start_us;
    if (more) {
        kp_timer_start(report->pass_timer, 0, 0);
        return;
    }
    kp_metric_set(report->pass_seconds, (double)report->pass_us / 1e6);
    int64_t rest_ms = rest_of(report->pass_us);
    report->pass_rest_until_mono_ms = kp_mono_ms() + rest_ms;
    kp_timer_start(report->pass_timer,
        report->pass_due ? SETTLE_MS + rest_ms : REPEAT_MS + idle_rest_of(report->pass_us), 0);
}

// ---- state of targets, for the registry ----

static void begin_post(struct kp_report *report)
{
    struct dirty_space *space = report->dirty;
    if (report->posting)
        report->states = kp_target_states_create(report->options.inventory, space->name, kp_now_ms());
    HASH_DEL(report->dirty, space);
    kp_free(space->name);
    kp_free(space);
}

// False when the namespace was posted.
static bool go_on_posting(struct kp_report *report)
{
    struct kp_target_states *states = report->states;
    if (kp_target_states_step(
            states, report->options.inventory, report->options.plan, kp_loop_slice_us(report->loop)))
        return true;
    struct kp_blob *encoded = kp_target_states_take(states);
    if (encoded != NULL && report->posting)
        kp_sink_put_state(report->options.sink, kp_target_states_namespace(states), encoded);
    kp_blob_unref(encoded);
    kp_target_states_destroy(kp_take(report->states));
    return false;
}

// One namespace a turn at most, a large one in several.
static void on_post(void *user)
{
    struct kp_report *report = user;
    int64_t start_us = kp_mono_us();
    if (report->dirty == NULL && report->states == NULL)
        return;
    if (report->posting && report->options.may_post != NULL &&
        !report->options.may_post(report->options.user)) { // it is about to be told, or allowed again
        kp_timer_start(report->post_timer, POST_MS, 0);
        return;
    }
    if (report->states == NULL)
        begin_post(report);
    bool more = report->states != NULL && go_on_posting(report);
    report->post_us += kp_mono_us() - start_us;
    if (more || report->dirty != NULL) {
        kp_timer_start(report->post_timer, 0, 0);
        return;
    }
    report->rest_until_mono_ms = kp_mono_ms() + rest_of(report->post_us);
    report->post_us = 0;
}

static void mark_space(struct kp_report *report, const char *namespace)
{
    struct dirty_space *space;
    HASH_FIND_STR(report->dirty, namespace, space);
    if (space == NULL) {
        space = KP_NEW(struct dirty_space);
        space->name = kp_strdup(namespace);
        HASH_ADD_KEYPTR(hh, report->dirty, space->name, strlen(space->name), space);
    }
    if (kp_timer_active(report->post_timer))
        return;
    int64_t rest_ms = report->rest_until_mono_ms - kp_mono_ms();
    kp_timer_start(report->post_timer, rest_ms > POST_MS ? rest_ms : POST_MS, 0);
}

static void mark_of_pod(void *user, const struct kp_pod *pod, const struct kp_pod_match *matches, size_t n)
{
    (void)matches;
    if (n > 0)
        mark_space(user, pod->namespace);
}

static void on_all(void *user)
{
    struct kp_report *report = user;
    kp_inventory_each_pod(report->options.inventory, NULL, mark_of_pod, report);
}

void kp_report_touch(struct kp_report *report, const char *namespace)
{
    if (report == NULL)
        return; // before it is made and after it is gone
    if (namespace != NULL)
        mark_space(report, namespace);
    if (report->pass_due)
        return;
    report->pass_due = true;
    int64_t rest_ms = report->pass_rest_until_mono_ms - kp_mono_ms();
    if (report->accounts == NULL)
        kp_timer_start(report->pass_timer, rest_ms > SETTLE_MS ? rest_ms : SETTLE_MS, 0);
}

void kp_report_post_again(struct kp_report *report)
{
    if (report != NULL && report->posting)
        on_all(report);
}

void kp_report_set_posting(struct kp_report *report, bool posting)
{
    report->posting = posting;
    if (posting)
        on_all(report);
}

struct kp_report *kp_report_create(struct kp_loop *loop, const struct kp_report_options *options)
{
    struct kp_report *report = KP_NEW(struct kp_report);
    report->loop = loop;
    report->options = *options;
    report->limits = kp_limit_notes_create();
    report->pass_timer = kp_timer_create(loop, on_pass, report);
    report->post_timer = kp_timer_create(loop, on_post, report);
    report->all_timer = kp_timer_create(loop, on_all, report);
    kp_timer_start(report->pass_timer, REPEAT_MS, 0);
    kp_timer_start(report->all_timer, POST_AGAIN_MS, POST_AGAIN_MS);
    report->targets = kp_metrics_family(options->metrics, KP_GAUGE, "kube_pprof_targets", "Targets by state.",
        (const char *const[]){"state", NULL}, NULL, 0, 8);
    report->pass_seconds = kp_gauge(options->metrics, "kube_pprof_report_pass_seconds",
        "Time the last pass over policies and targets took.");
    return report;
}

void kp_report_destroy(struct kp_report *report)
{
    if (report == NULL)
        return;
    kp_timer_destroy(report->pass_timer);
    kp_timer_destroy(report->post_timer);
    kp_timer_destroy(report->all_timer);
    kp_target_states_destroy(report->states);
    struct dirty_space *space, *next;
    HASH_ITER (hh, report->dirty, space, next) {
        HASH_DEL(report->dirty, space);
        kp_free(space->name);
        kp_free(space);
    }
    struct ref_problem *known, *next_known;
    HASH_ITER (hh, report->ref_problems, known, next_known)
        ref_problem_free(report, known);
    kp_limit_notes_destroy(report->limits);
    kp_accounts_destroy(report->accounts);
    kp_free(report);
}
