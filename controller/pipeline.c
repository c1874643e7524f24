#include "controller/pipeline.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/text.h"
#include "base/banned.h"

#define ASK_AGAIN_MS 500 // whether captures may start

#define LOST                                                                                                 \
    "this replica lost its Lease while it captured: another one may capture the same process meanwhile"

// An order on its way, until its capture is over.
struct running {
    uint64_t id;
    struct kp_pipeline *owner;
    struct kp_order order; // holds its target
    bool capturing;        // the capturer has it
    bool cancelled;        // while its secrets were being read
    enum kp_outcome why;
    UT_hash_handle hh;
};

struct kp_pipeline {
    struct kp_pipeline_options options;
    struct kp_inventory *inventory;
    struct kp_confirm *confirm;
    struct kp_sink *sink;
    struct kp_statuses *statuses;
    struct running *running;
    struct kp_timer *timer;
    bool may_run;
    struct kp_metric_family *outcomes, *lag;
    struct kp_metric *bytes;
};

// ---- outcomes ----

// A policy counts the capture under the type it asked for: allocs is served by heap.
static void count_for(struct kp_pipeline *pipeline, const char *policy_key, const char *type,
    enum kp_outcome outcome, int64_t time_ms)
{
    const struct kp_policy *policy = kp_inventory_policy(pipeline->inventory, policy_key);
    if (policy == NULL || pipeline->statuses == NULL)
        return;
    bool is_heap = kp_streq(type, "heap");
    for (size_t i = 0; i < policy->n_profiles; i++) {
        const char *asked = policy->profiles[i].type;
        if (kp_streq(asked, type) || (is_heap && kp_streq(asked, "allocs")))
            kp_statuses_count(pipeline->statuses, policy_key, asked, outcome, time_ms);
    }
}

static void count_for_all(struct kp_pipeline *pipeline, const char *policies, const char *type,
    enum kp_outcome outcome, int64_t time_ms)
{
    kp_auto_free char *copy = kp_strdup(policies != NULL ? policies : "");
    char *rest = copy;
    for (char *key = strsep(&rest, ","); key != NULL; key = strsep(&rest, ","))
        if (key[0] != '\0')
            count_for(pipeline, key, type, outcome, time_ms);
}

static void log_outcome(const struct kp_record *record, enum kp_outcome outcome, const char *message)
{
    const struct kp_outcome_info *info = kp_outcome_info(outcome);
    if (info->class == KP_CLASS_FAILED)
        KP_WARN("capture failed", KP_S("outcome", info->name), KP_S("namespace", record->namespace),
            KP_S("pod", record->pod), KP_S("container", record->container), KP_I("port", record->port),
            KP_S("type", record->type), KP_S("message", message));
    else
        KP_DEBUG("capture over", KP_S("outcome", info->name), KP_S("namespace", record->namespace),
            KP_S("pod", record->pod), KP_S("type", record->type), KP_S("message", message));
}

// The outcome that counts, for everybody who wants to know.
static void conclude(struct kp_pipeline *pipeline, const struct kp_record *record, enum kp_outcome outcome,
    const char *message)
{
    int64_t now = kp_now_ms();
    // by the API server's clock, where ours is behind (confirm.h); what we tell is by ours
    int64_t start_ms = record->start_ms < now ? record->start_ms : now;
    int64_t end_ms = record->end_ms != 0 && record->end_ms < now ? record->end_ms : now;
    kp_auto_free char *key = kp_asprintf("%s/%s/%u", record->pod_uid, record->container, record->port);
    outcome = kp_plan_outcome(pipeline->options.plan, key, record->type, outcome, message, start_ms, now);
    count_for_all(pipeline, record->policies, record->type, outcome, end_ms);
    kp_metric_inc(
        kp_metric_with(pipeline->outcomes, (const char *[]){kp_outcome_info(outcome)->name, record->type}));
    log_outcome(record, outcome, message);
    pipeline->options.on_outcome(pipeline->options.user, record->namespace);
    kp_pipeline_kick(pipeline);
}

void kp_pipeline_on_delivered(
    void *user, const struct kp_record *record, enum kp_outcome outcome, const char *message)
{
    struct kp_pipeline *pipeline = user;
    if (outcome == KP_OUTCOME_THROTTLED)
        pipeline->options.on_limit(pipeline->options.user, record->policies, message);
    conclude(pipeline, record, outcome, message);
}

// As late as can be: the node was asked for when the capture started.
static void add_architecture(struct kp_pipeline *pipeline, struct kp_record *record)
{
    const char *architecture = kp_nodes_architecture(pipeline->options.nodes, record->node);
    if (architecture == NULL)
        return;
    kp_free(record->architecture);
    record->architecture = kp_strdup(architecture);
}

void kp_pipeline_on_verdict(
    void *user, struct kp_capture_result *result, enum kp_outcome outcome, const char *message)
{
    struct kp_pipeline *pipeline = user;
    if (outcome == KP_OUTCOME_SUCCEEDED) {
        kp_metric_add(pipeline->bytes, (double)result->bytes);
        add_architecture(pipeline, &result->record);
        kp_sink_put(pipeline->sink, &result->record, result->body);
    } else {
        conclude(pipeline, &result->record, outcome, message);
    }
}

// ---- captures ----

static void running_free(struct running *r)
{
    HASH_DEL(r->owner->running, r);
    kp_order_finish(&r->order);
    kp_free(r);
}

static char *policy_keys(const struct kp_wanted *wanted)
{
    kp_auto_strbuf keys;
    kp_strbuf_init(&keys, 4096);
    for (size_t i = 0; i < wanted->n_policies; i++) {
        if (i > 0)
            kp_strbuf_addc(&keys, ',');
        kp_strbuf_adds(&keys, wanted->policies[i]->key);
    }
    return kp_strbuf_take(&keys, NULL);
}

// What conclude() needs to know of an order that gave no record.
static void brief_record(const struct running *r, struct kp_record *record)
{
    const struct kp_target *target = r->order.target;
    kp_record_init(record);
    record->type = kp_strdup(r->order.wanted->type);
    record->namespace = kp_strdup(target->pod->namespace);
    record->pod = kp_strdup(target->pod->name);
    record->pod_uid = kp_strdup(target->pod->uid);
    record->container = kp_strdup(target->container->name);
    record->port = target->port;
    record->policies = policy_keys(r->order.wanted);
    record->slot_ms = r->order.slot_ms;
    record->start_ms = r->order.start_ms;
}

static void fail_order(struct running *r, enum kp_outcome outcome, const char *message)
{
    struct kp_pipeline *pipeline = r->owner;
    struct kp_record record;
    brief_record(r, &record);
    kp_plan_finish(pipeline->options.plan, r->id, 0, 0, kp_now_ms());
    running_free(r);
    conclude(pipeline, &record, outcome, message);
    kp_record_finish(&record);
}

static bool may_go_on(const struct kp_pipeline *pipeline)
{
    return pipeline->options.may_go_on == NULL || pipeline->options.may_go_on(pipeline->options.user);
}

static void on_captured(void *user, struct kp_capture_result *result)
{
    struct running *r = user;
    struct kp_pipeline *pipeline = r->owner;
    r->capturing = false;
    // When it ended is not known either: this process may have been stopped.
    if (result->outcome == KP_OUTCOME_SUCCEEDED && !may_go_on(pipeline)) {
        result->outcome = KP_OUTCOME_CANCELLED;
        kp_copy(result->message, sizeof result->message, LOST);
    }
    if (result->outcome != KP_OUTCOME_SUCCEEDED) {
        kp_record_finish(&result->record);
        brief_record(r, &result->record);
        result->record.start_ms = result->started_ms;
        result->record.end_ms = result->ended_ms;
    }
    kp_plan_finish(pipeline->options.plan, r->id, result->bytes, result->busy_ms, kp_now_ms());
    char ip[46];
    kp_copy(ip, sizeof ip, r->order.target->pod->ip);
    running_free(r);
    if (result->outcome == KP_OUTCOME_SUCCEEDED || result->outcome == KP_OUTCOME_UNREACHABLE)
        kp_confirm_put(pipeline->confirm, result, ip);
    else
        conclude(pipeline, &result->record, result->outcome, result->message);
    kp_pipeline_kick(pipeline);
}

static bool may_start(const struct kp_pipeline *pipeline)
{
    return pipeline->options.may_start == NULL || pipeline->options.may_start(pipeline->options.user);
}

static void start_capture(struct running *r, const struct kp_capture_secrets *resolved)
{
    struct kp_pipeline *pipeline = r->owner;
    struct kp_error err = {0};
    if (!may_start(pipeline)) { // it took long to read the Secrets
        fail_order(r, KP_OUTCOME_CANCELLED, LOST);
        return;
    }
    // The capturer takes its own reference to the target along; ours stays for what follows.
    struct kp_order order = r->order;
    order.target = kp_target_ref(r->order.target);
    if (kp_capture_start(pipeline->options.capturer, &order, resolved, on_captured, r, &err) != 0) {
        kp_order_finish(&order);
        fail_order(r, KP_OUTCOME_THROTTLED, err.text);
        return;
    }
    r->capturing = true;
}

static void on_secrets(void *user, const struct kp_capture_secrets *resolved, const struct kp_error *err)
{
    struct running *r = user;
    struct kp_pipeline *pipeline = r->owner;
    pipeline->options.on_references(
        pipeline->options.user, r->order.wanted->policies[0]->key, err != NULL ? err->text : NULL);
    if (r->cancelled)
        fail_order(r, r->why, "");
    else if (resolved == NULL)
        fail_order(r, KP_OUTCOME_REFUSED, err->text);
    else
        start_capture(r, resolved);
}

static void on_order(void *user, struct kp_order *order)
{
    struct kp_pipeline *pipeline = user;
    struct running *r = KP_NEW(struct running);
    r->id = order->id;
    r->owner = pipeline;
    r->order = *order;
    HASH_ADD(hh, pipeline->running, id, sizeof r->id, r);
    double lag_seconds = (double)(kp_now_ms() - order->start_ms) / 1e3;
    kp_metric_observe(kp_metric_with(pipeline->lag, NULL), lag_seconds);
    KP_DEBUG("capture starts", KP_S("namespace", order->target->pod->namespace),
        KP_S("pod", order->target->pod->name), KP_S("type", order->wanted->type),
        KP_F("lag_seconds", lag_seconds));
    kp_nodes_ask(pipeline->options.nodes, order->target->pod->node);
    const struct kp_endpoint *endpoint = order->wanted->endpoint;
    if (kp_endpoint_needs_secrets(endpoint)) {
        kp_secrets_resolve(pipeline->options.secrets, endpoint, order->target->pod->namespace, on_secrets, r);
        return;
    }
    start_capture(r, NULL);
}

void kp_pipeline_cancel(struct kp_pipeline *pipeline, uint64_t order_id)
{
    struct running *r;
    HASH_FIND(hh, pipeline->running, &order_id, sizeof order_id, r);
    if (r == NULL)
        return;
    const struct kp_pod *was = r->order.target->pod;
    const struct kp_pod *now = kp_inventory_pod(pipeline->inventory, was->namespace, was->name);
    bool gone = now == NULL || now->deleting || !kp_streq(now->uid, was->uid);
    r->why = gone ? KP_OUTCOME_POD_GONE : KP_OUTCOME_CANCELLED;
    if (r->capturing)
        kp_capture_cancel(pipeline->options.capturer, order_id, r->why);
    else
        r->cancelled = true;
}

void kp_pipeline_cancel_all(struct kp_pipeline *pipeline)
{
    struct running *r, *next;
    HASH_ITER (hh, pipeline->running, r, next) {
        r->why = KP_OUTCOME_CANCELLED;
        if (r->capturing)
            kp_capture_cancel(pipeline->options.capturer, r->id, r->why);
        else
            r->cancelled = true;
    }
}

size_t kp_pipeline_held(void *place)
{
    const struct kp_pipeline *pipeline = *(struct kp_pipeline **)place;
    if (pipeline == NULL || pipeline->confirm == NULL || pipeline->sink == NULL)
        return 0;
    return kp_confirm_bytes(pipeline->confirm) + kp_sink_memory(pipeline->sink);
}

// ---- turning the plan ----

static void on_timer(void *user)
{
    struct kp_pipeline *pipeline = user;
    if (!pipeline->may_run)
        return;
    if (!may_start(pipeline)) { // it is about to be told, or about to be allowed again
        kp_timer_start(pipeline->timer, ASK_AGAIN_MS, 0);
        return;
    }
    int64_t now = kp_now_ms();
    int64_t next = kp_plan_run(pipeline->options.plan, now, on_order, pipeline);
    int64_t after = next - kp_now_ms();
    kp_timer_start(pipeline->timer, after < 1 ? 1 : after, 0);
}

void kp_pipeline_kick(struct kp_pipeline *pipeline)
{
    if (pipeline->may_run)
        kp_timer_start(pipeline->timer, 1, 0);
}

void kp_pipeline_set_running(struct kp_pipeline *pipeline, bool running)
{
    bool begins = running && !pipeline->may_run;
    pipeline->may_run = running;
    if (begins)
        kp_plan_take_over(pipeline->options.plan, kp_now_ms());
    if (running)
        kp_pipeline_kick(pipeline);
    else
        kp_timer_stop(pipeline->timer);
}

// ---- life ----

struct kp_pipeline *kp_pipeline_create(struct kp_loop *loop, const struct kp_pipeline_options *options)
{
    struct kp_pipeline *pipeline = KP_NEW(struct kp_pipeline);
    pipeline->options = *options;
    pipeline->timer = kp_timer_create(loop, on_timer, pipeline);
    pipeline->outcomes = kp_metrics_family(options->metrics, KP_COUNTER, "kube_pprof_captures_total",
        "Final outcomes of captures.", (const char *const[]){"result", "type", NULL}, NULL, 0, 1000);
    pipeline->lag = kp_metrics_family(options->metrics, KP_HISTOGRAM, "kube_pprof_capture_start_lag_seconds",
        "How late captures start against their place in the schedule.", NULL, kp_buckets_seconds,
        kp_buckets_seconds_n, 1);
    pipeline->bytes = kp_counter(
        options->metrics, "kube_pprof_captured_bytes_total", "Bytes of profiles captured and confirmed.");
    return pipeline;
}

void kp_pipeline_connect(struct kp_pipeline *pipeline, struct kp_inventory *inventory,
    struct kp_confirm *confirm, struct kp_sink *sink, struct kp_statuses *statuses)
{
    pipeline->inventory = inventory;
    pipeline->confirm = confirm;
    pipeline->sink = sink;
    pipeline->statuses = statuses;
}

void kp_pipeline_destroy(struct kp_pipeline *pipeline)
{
    if (pipeline == NULL)
        return;
    kp_timer_destroy(pipeline->timer);
    struct running *r, *next;
    HASH_ITER (hh, pipeline->running, r, next)
        running_free(r);
    kp_free(pipeline);
}
