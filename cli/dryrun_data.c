#include "cli/dryrun.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "plan/plan.h"
#include "target/target.h"
#include "base/banned.h"

#define HOUR_MS 3600000.0

// One policy on one pod.
struct found {
    const struct kp_pod *pod;
    struct kp_match match;
};

// A schedule of policies over the pods.
struct schedule {
    struct kp_plan *plan;
    KP_ARRAY(struct kp_target *) targets; // one reference each, sorted by workload
    KP_ARRAY(struct found) found;         // of the policies asked about
};

static json_t *seconds(int64_t ms)
{
    return ms % 1000 == 0 ? json_integer(ms / 1000) : json_real((double)ms / 1000);
}

// ---- the schedule ----

static const struct kp_labels *labels_of(const struct kp_policies *policies, const char *namespace)
{
    for (size_t i = 0; i < policies->namespaces.n; i++)
        if (kp_streq(policies->namespaces.items[i].name, namespace))
            return policies->namespaces.items[i].labels;
    return NULL;
}

static bool is_asked(const struct kp_dryrun *d, const struct kp_policy *policy)
{
    for (size_t i = 0; i < d->n_asked; i++)
        if (d->asked[i] == policy)
            return true;
    return false;
}

static void add_pod(const struct kp_dryrun *d, const struct kp_policies *policies, const struct kp_pod *pod,
    const struct kp_labels *labels, struct schedule *s)
{
    const struct kp_target_config config = {.dialects = KP_DIALECTS_DEFAULT};
    struct kp_verdict verdict;
    kp_target_build(pod, (const struct kp_policy *const *)policies->items.items, policies->items.n, labels,
        false, &config, &verdict);
    for (size_t i = 0; i < verdict.matches.n; i++)
        if (is_asked(d, verdict.matches.items[i].policy))
            *kp_array_add(&s->found) = (struct found){pod, verdict.matches.items[i]};
    for (size_t i = 0; i < verdict.targets.n; i++)
        *kp_array_add(&s->targets) = kp_target_ref(verdict.targets.items[i]);
    kp_verdict_finish(&verdict);
}

static int by_workload(const void *a, const void *b)
{
    const struct kp_target *x = *(struct kp_target *const *)a;
    const struct kp_target *y = *(struct kp_target *const *)b;
    int order = strcmp(x->workload, y->workload);
    return order != 0 ? order : strcmp(x->key, y->key);
}

static void schedule_make(const struct kp_dryrun *d, const struct kp_policies *policies, struct schedule *s)
{
    const char *namespace = NULL;
    const struct kp_labels *labels = NULL;
    *s = (struct schedule){.plan = kp_plan_create(NULL, NULL)};
    for (size_t i = 0; i < d->pods->items.n; i++) { // sorted by namespace
        const struct kp_pod *pod = d->pods->items.items[i];
        if (!kp_streq(namespace, pod->namespace))
            labels = labels_of(d->after, namespace = pod->namespace);
        add_pod(d, policies, pod, labels, s);
    }
    if (s->targets.n > 1)
        qsort(s->targets.items, s->targets.n, sizeof *s->targets.items, by_workload);
    for (size_t begin = 0; begin < s->targets.n;) {
        size_t end = begin + 1;
        while (end < s->targets.n &&
               kp_streq(s->targets.items[end]->workload, s->targets.items[begin]->workload))
            end++;
        kp_plan_set_workload(s->plan, s->targets.items[begin]->workload, s->targets.items + begin,
            end - begin, d->now_ms, NULL, NULL);
        begin = end;
    }
    kp_plan_settle(s->plan, d->now_ms);
}

static void schedule_finish(struct schedule *s)
{
    kp_plan_destroy(s->plan);
    for (size_t i = 0; i < s->targets.n; i++)
        kp_target_unref(s->targets.items[i]);
    kp_array_free(&s->targets);
    kp_array_free(&s->found);
}

static void add_captures(void *user, const struct kp_target *target, const struct kp_plan_profile *profiles)
{
    double *sum = user;
    for (size_t i = 0; i < target->n_wanted; i++)
        *sum += profiles[i].sampled ? HOUR_MS / (double)profiles[i].interval_ms : 0;
}

// ---- what a policy has of it ----

struct revision {
    const char *name;
    int pods, sampled;
};

// A profile type at a port of a workload's pods.
struct row {
    const struct kp_target *target; // the first
    const struct kp_wanted *wanted;
    int64_t interval_ms; // stretched
    double per_hour;
    KP_ARRAY(struct revision) revisions;
};

struct gathering {
    const struct kp_policy *policy;
    KP_ARRAY(struct row) rows;
    double overhead; // of the process that it costs most
    const struct kp_target *costliest;
};

static struct row *row_get(
    struct gathering *g, const struct kp_target *target, const struct kp_wanted *wanted)
{
    for (size_t i = g->rows.n; i-- > 0;) {
        struct row *row = &g->rows.items[i];
        if (!kp_streq(row->target->workload, target->workload))
            break; // they come workload by workload
        if (row->target->port == target->port && kp_streq(row->wanted->type, wanted->type) &&
            kp_streq(row->target->container->name, target->container->name))
            return row;
    }
    struct row *row = kp_array_add(&g->rows);
    *row = (struct row){.target = target, .wanted = wanted};
    return row;
}

static struct revision *revision_get(struct row *row, const char *name)
{
    for (size_t i = 0; i < row->revisions.n; i++)
        if (kp_streq(row->revisions.items[i].name, name))
            return &row->revisions.items[i];
    struct revision *revision = kp_array_add(&row->revisions);
    *revision = (struct revision){.name = name};
    return revision;
}

static bool is_of(const struct kp_wanted *wanted, const struct kp_policy *policy)
{
    for (size_t i = 0; i < wanted->n_policies; i++)
        if (wanted->policies[i] == policy)
            return true;
    return false;
}

static void gather(void *user, const struct kp_target *target, const struct kp_plan_profile *profiles)
{
    struct gathering *g = user;
    double overhead = 0;
    bool any = false;
    for (size_t i = 0; i < target->n_wanted; i++) {
        const struct kp_wanted *wanted = &target->wanted[i];
        overhead += kp_plan_overhead_percent(wanted, profiles[i].interval_ms, 0);
        if (!is_of(wanted, g->policy))
            continue;
        any = true;
        struct row *row = row_get(g, target, wanted);
        struct revision *revision = revision_get(row, target->pod->revision);
        revision->pods++;
        revision->sampled += profiles[i].sampled ? 1 : 0;
        row->interval_ms = profiles[i].interval_ms;
        row->per_hour += profiles[i].sampled ? HOUR_MS / (double)profiles[i].interval_ms : 0;
    }
    if (any && (g->costliest == NULL || overhead > g->overhead)) {
        g->overhead = overhead;
        g->costliest = target;
    }
}

static void add_sharing(const struct row *row, const struct kp_policy *policy, json_t *data)
{
    json_t *others = json_array();
    for (size_t i = 0; i < row->wanted->n_policies; i++) {
        kp_auto_free char *name = kp_policies_name(row->wanted->policies[i]);
        if (row->wanted->policies[i] != policy)
            json_array_append_new(others, json_string(name));
    }
    kp_auto_free char *first = kp_policies_name(row->wanted->policies[0]);
    json_object_set_new(data, "decidedBy", json_string(first));
    json_object_set_new(data, "sharedWith", others);
}

static json_t *row_data(const struct row *row, const struct kp_policy *policy)
{
    const struct kp_target *target = row->target;
    json_t *revisions = json_array();
    int pods = 0;
    int sampled = 0;
    for (size_t i = 0; i < row->revisions.n; i++) {
        const struct revision *r = &row->revisions.items[i];
        pods += r->pods;
        sampled += r->sampled;
        json_array_append_new(revisions,
            json_pack("{s:s,s:i,s:i}", "revision", r->name, "pods", r->pods, "sampled", r->sampled));
    }
    json_t *data = json_pack("{s:s,s:s,s:s,s:i,s:s,s:s,s:o,s:o,s:i,s:i,s:f}", "namespace",
        target->pod->namespace, "workload", target->workload, "container", target->container->name, "port",
        (int)target->port, "service", row->wanted->service, "type", row->wanted->type, "intervalSeconds",
        seconds(row->interval_ms), "askedSeconds", seconds(row->wanted->interval_ms), "pods", pods, "sampled",
        sampled, "capturesPerHour", row->per_hour);
    if (row->wanted->alias != NULL)
        json_object_set_new(data, "also", json_string(row->wanted->alias));
    if (row->wanted->duration_ms > 0)
        json_object_set_new(data, "durationSeconds", seconds(row->wanted->duration_ms));
    json_object_set_new(data, "revisions", revisions);
    add_sharing(row, policy, data);
    return data;
}

// ---- what is left out ----

// By reason, with the first pod as the example.
static json_t *left_out_data(const struct schedule *s, const struct kp_policy *policy)
{
    json_t *ret = json_array();
    for (int reason = KP_LEFTOUT_NONE + 1; reason < KP_LEFTOUT_COUNT; reason++) {
        const struct found *first = NULL;
        int n = 0;
        for (size_t i = 0; i < s->found.n; i++) {
            const struct found *found = &s->found.items[i];
            if (found->match.policy != policy || found->match.leftout != (enum kp_leftout)reason)
                continue;
            first = first ? first : found;
            n++;
        }
        if (first != NULL)
            json_array_append_new(ret,
                json_pack("{s:s,s:i,s:s,s:s,s:s}", "reason", kp_leftout_info((enum kp_leftout)reason)->name,
                    "pods", n, "namespace", first->pod->namespace, "example", first->pod->name, "message",
                    first->match.message));
    }
    return ret;
}

static void count_pods(const struct schedule *s, const struct kp_policy *policy, int *matched, int *targets)
{
    for (size_t i = 0; i < s->found.n; i++) {
        const struct kp_match *match = &s->found.items[i].match;
        *matched += match->policy == policy ? 1 : 0;
        *targets += match->policy == policy && match->leftout == KP_LEFTOUT_NONE ? 1 : 0;
    }
}

// ---- the whole ----

static const struct kp_policy *known_before(const struct kp_dryrun *d, const struct kp_policy *policy)
{
    for (size_t i = 0; i < d->before->items.n; i++)
        if (kp_streq(d->before->items.items[i]->key, policy->key))
            return d->before->items.items[i];
    return NULL;
}

static void add_costs(const struct gathering *g, json_t *data)
{
    double per_hour = 0;
    json_t *rows = json_array();
    for (size_t i = 0; i < g->rows.n; i++) {
        per_hour += g->rows.items[i].per_hour;
        json_array_append_new(rows, row_data(&g->rows.items[i], g->policy));
    }
    json_object_set_new(data, "capturesPerHour", json_real(per_hour));
    json_object_set_new(data, "overheadPercent", json_real(g->overhead));
    json_object_set_new(data, "budgetPercent", json_real(g->policy->overhead_percent));
    if (g->costliest != NULL)
        json_object_set_new(data, "overheadOf",
            json_sprintf("%s, container %s", g->costliest->workload, g->costliest->container->name));
    json_object_set_new(data, "captures", rows);
}

static void add_fit(
    const struct kp_dryrun *d, struct kp_plan *plan, const struct kp_policy *policy, json_t *data)
{
    struct kp_feasible feasible;
    kp_plan_feasible(plan, policy->key, d->now_ms, &feasible);
    json_object_set_new(data, "fit",
        json_pack("{s:b,s:s,s:s,s:f,s:f}", "fits", feasible.ok, "reason", feasible.reason, "message",
            feasible.message, "askedPerMinute", feasible.asked_per_minute, "possiblePerMinute",
            feasible.possible_per_minute));
}

static json_t *policy_data(const struct kp_dryrun *d, struct schedule *s, const struct kp_policy *policy)
{
    struct gathering g = {.policy = policy};
    int matched = 0;
    int profiled = 0;
    kp_auto_free char *name = kp_policies_name(policy);
    count_pods(s, policy, &matched, &profiled);
    json_t *data = json_pack("{s:s,s:s,s:b,s:i,s:i}", "policy", name, "namespace", policy->namespace,
        "replaces", known_before(d, policy) != NULL, "podsMatched", matched, "podsProfiled", profiled);
    json_object_set_new(data, "leftOut", left_out_data(s, policy));
    for (size_t i = 0; i < s->targets.n; i++) { // workload by workload, which the plan's own order is not
        bool is_first = i == 0 || !kp_streq(s->targets.items[i - 1]->workload, s->targets.items[i]->workload);
        if (is_first)
            kp_plan_each_of_workload(s->plan, s->targets.items[i]->workload, d->now_ms, gather, &g);
    }
    add_fit(d, s->plan, policy, data);
    add_costs(&g, data);
    for (size_t i = 0; i < g.rows.n; i++)
        kp_array_free(&g.rows.items[i].revisions);
    kp_array_free(&g.rows);
    return data;
}

json_t *kp_dryrun_data(const struct kp_dryrun *d)
{
    struct schedule before;
    struct schedule after;
    double now = 0;
    double then = 0;
    json_t *policies = json_array();
    schedule_make(d, d->before, &before);
    schedule_make(d, d->after, &after);
    kp_plan_each_target(before.plan, d->now_ms, add_captures, &now);
    kp_plan_each_target(after.plan, d->now_ms, add_captures, &then);
    for (size_t i = 0; i < d->n_asked; i++)
        json_array_append_new(policies, policy_data(d, &after, d->asked[i]));
    schedule_finish(&before);
    schedule_finish(&after);
    return json_pack(
        "{s:o,s:f,s:f}", "policies", policies, "capturesPerHour", then, "capturesPerHourNow", now);
}
