#include "controller/controller.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "controller/confirm.h"
#include "controller/controller_testing.h"
#include "controller/inventory.h"
#include "controller/lead.h"
#include "controller/nodes.h"
#include "controller/pipeline.h"
#include "controller/report.h"
#include "controller/secrets.h"
#include "controller/serviceranges.h"
#include "controller/watches.h"
#include "kube/client.h"
#include "kube/events.h"
#include "kube/lease.h"
#include "status/status.h"
#include "base/banned.h"

#define FIELD_MANAGER  "kube-pprof-controller"
#define REFRESH_MS     600000
#define SPOOL_BYTES    (512ull << 20)
#define PATIENCE_MS    5000 // with caches that are not complete: whose are complete already leads better
#define LAST_STATUS_MS 300  // others take over within 2 s of our being told to go

enum state {
    STATE_STARTING, // caches are not complete
    STATE_RUNNING,
    STATE_STOPPING, // captures are cancelled, deliveries and status go out
    STATE_STOPPED,
};

struct kp_controller {
    const struct kp_controller_config *config;
    struct kp_loop *loop;
    enum state state;
    struct kp_kube *kube;
    struct kp_events *events;
    struct kp_lease *lease;
    struct kp_statuses *statuses;
    struct kp_plan *plan;
    struct kp_inventory *inventory;
    struct kp_watches *watches;
    struct kp_capturer *capturer;
    struct kp_secrets *secrets;
    struct kp_nodes *nodes;
    struct kp_serviceranges *serviceranges;
    struct kp_confirm *confirm;
    struct kp_sink *sink;
    struct kp_registrylink *link;
    struct kp_pipeline *pipeline;
    struct kp_report *report;
    struct kp_timer *refresh, *stopping, *lease_over, *lease_start;
    struct kp_metric *leader, *up;
    int stop_steps; // that have not ended
    kp_loop_fn on_stopped;
    void *stopped_user;
};

// ---- who may act ----

static bool leading(const struct kp_controller *controller)
{
    return controller->lease == NULL || kp_lease_leading(controller->lease);
}

// For those who are about to act: the timer that ends our lead may be late, the clock is not.
static bool may_act(void *user)
{
    return leading(user);
}

static bool may_go_on(void *user)
{
    const struct kp_controller *controller = user;
    return leading(controller) || kp_lease_left_ms(controller->lease) > 0;
}

static void decide(struct kp_controller *controller)
{
    bool act = controller->state == STATE_RUNNING && leading(controller);
    kp_pipeline_set_running(controller->pipeline, act);
    kp_statuses_set_writing(controller->statuses, leading(controller) && controller->state != STATE_STOPPED);
    kp_report_set_posting(controller->report, act);
    kp_registrylink_set_leading(controller->link, leading(controller) && controller->state < STATE_STOPPING);
    // without the right to see all namespaces it would say that there are none
    kp_registrylink_set_posting(controller->link, act && controller->config->cluster_policies);
    kp_metric_set(controller->leader, leading(controller) ? 1 : 0);
}

static void on_lease(void *user, bool is_leading)
{
    struct kp_controller *controller = user;
    kp_timer_stop(controller->lease_over);
    kp_lead_tell(controller->config->identity, kp_lease_holder(controller->lease), is_leading);
    if (!is_leading)
        kp_timer_start(controller->lease_over, kp_lease_left_ms(controller->lease), 0);
    decide(controller);
}

static void on_lease_start(void *user)
{
    struct kp_controller *controller = user;
    if (controller->lease != NULL && controller->state < STATE_STOPPING)
        kp_lease_start(controller->lease); // once
}

// Others may begin now: of what one process can give to one only, they must not find it taken by us.
static void on_lease_over(void *user)
{
    struct kp_controller *controller = user;
    if (!leading(controller))
        kp_pipeline_cancel_all(controller->pipeline);
}

// ---- what modules tell each other ----

static void on_cancel(void *user, uint64_t order_id)
{
    kp_pipeline_cancel(((struct kp_controller *)user)->pipeline, order_id);
}

static void on_replanned(void *user, const char *namespace)
{
    struct kp_controller *controller = user;
    kp_pipeline_kick(controller->pipeline);
    kp_report_touch(controller->report, namespace);
}

static void on_annotation_problem(
    void *user, const struct kp_pod *pod, const struct kp_annotation_problem *problem)
{
    struct kp_controller *controller = user;
    KP_WARN("annotation cannot be read", KP_S("namespace", pod->namespace), KP_S("pod", pod->name),
        KP_S("message", problem->message));
    const struct kp_event_object about = {"v1", "Pod", pod->namespace, pod->name, pod->uid};
    if (leading(controller))
        kp_events_add(
            controller->events, &about, true, "InvalidAnnotation", "ReadAnnotations", problem->message);
}

static void on_change(void *user, const char *namespace)
{
    kp_report_touch(((struct kp_controller *)user)->report, namespace);
}

static void on_limit(void *user, const char *policies, const char *message)
{
    kp_report_limit(((struct kp_controller *)user)->report, policies, message);
}

static void on_references(void *user, const char *policy_key, const char *problem)
{
    kp_report_references(((struct kp_controller *)user)->report, policy_key, problem);
}

static int64_t watch_mono_ms(void *user)
{
    return kp_watches_pods_mono_ms(((struct kp_controller *)user)->watches);
}

static void ask_watch(void *user)
{
    kp_watches_ask_pods(((struct kp_controller *)user)->watches);
}

static void on_synced(void *user)
{
    struct kp_controller *controller = user;
    if (controller->state != STATE_STARTING)
        return;
    KP_SAY(KP_LOG_INFO, leading(controller) ? "caches complete, scheduling starts"
                                            : "caches complete, captures start when this replica leads");
    controller->state = STATE_RUNNING;
    kp_inventory_open(controller->inventory);
    on_lease_start(controller);
    decide(controller);
}

static size_t on_service_ranges(void *user, const char *const *cidrs)
{
    struct kp_controller *controller = user;
    return controller->capturer != NULL ? kp_capturer_learn_denied(controller->capturer, cidrs) : 0;
}

static size_t on_servers(void *user, const char *const *ips)
{
    struct kp_controller *controller = user;
    return controller->capturer != NULL ? kp_capturer_learn_servers(controller->capturer, ips) : 0;
}

static void on_namespace(void *user, const char *name, const char *created)
{
    kp_registrylink_set_namespace(((struct kp_controller *)user)->link, name, created);
}

static void on_registry_usable(void *user)
{
    struct kp_controller *controller = user;
    kp_sink_pause(controller->sink, false);
    decide(controller);
}

static void on_registry_back(void *user)
{
    struct kp_controller *controller = user;
    kp_report_post_again(controller->report);
    kp_sink_wake(controller->sink);
}

static void on_refresh(void *user)
{
    kp_inventory_refresh(((struct kp_controller *)user)->inventory);
}

bool kp_controller_caches(void *user, const char **ret_why_not)
{
    const struct kp_controller *controller = user;
    if (!kp_watches_synced(controller->watches, ret_why_not))
        return false;
    *ret_why_not = kp_watches_trouble(controller->watches);
    return true;
}

bool kp_controller_status(void *user, const char **ret_why_not)
{
    *ret_why_not = kp_statuses_trouble(((struct kp_controller *)user)->statuses);
    return true;
}

// For status: what was said before a start stands while caches are being read, unless something hinders that.
static bool synced(void *user, const char **ret_trouble)
{
    const struct kp_watches *watches = ((struct kp_controller *)user)->watches;
    const char *why_not;
    if (kp_watches_synced(watches, &why_not))
        return true;
    *ret_trouble = kp_watches_hindrance(watches);
    return false;
}

static const char *trouble_of(void *user, const char *policy_key)
{
    return kp_watches_trouble_of(((struct kp_controller *)user)->watches, policy_key);
}

// ---- creation, floor by floor ----

static int create_sink(struct kp_controller *controller, struct kp_metrics *metrics, struct kp_error *err)
{
    const struct kp_controller_config *config = controller->config;
    const struct kp_sink_ops *ops;
    void *self;
    if (kp_sink_registry_create(controller->loop, &config->registry, &ops, &self, err) != 0)
        return err->code;
    struct kp_sink_options options = {.ops = ops,
        .self = self,
        .spool_dir = config->spool_dir,
        .spool_bytes = config->spool_bytes != 0 ? config->spool_bytes : SPOOL_BYTES,
        .metrics = metrics};
    if (kp_sink_create(controller->loop, &options, kp_pipeline_on_delivered, controller->pipeline,
            &controller->sink, err) != 0)
        return kp_wrap(err, "cannot open the spool '%s'", config->spool_dir != NULL ? config->spool_dir : "");
    const struct kp_registrylink_options link = {.config = &config->link,
        .kube = controller->kube,
        .namespace = config->lease_namespace,
        .registry = self,
        .metrics = metrics,
        .may_post = may_act,
        .on_usable = on_registry_usable,
        .on_back = on_registry_back,
        .user = controller};
    controller->link = kp_registrylink_create(controller->loop, &link);
    kp_sink_pause(controller->sink, !kp_registrylink_usable(controller->link));
    return 0;
}

static void create_kube(struct kp_controller *controller, struct kp_metrics *metrics)
{
    const struct kp_controller_config *config = controller->config;
    struct kp_kube_options options = {.user_agent = "kube-pprof/" KP_VERSION " (linux) controller",
        .metrics = metrics,
        .may_write = may_act,
        .may_write_user = controller};
    controller->kube = kp_kube_create(controller->loop, &config->kube, &options);
    controller->events = kp_events_create(controller->kube, KP_GROUP "/controller", config->identity);
    controller->statuses =
        kp_statuses_create(controller->loop, controller->kube, controller->events, FIELD_MANAGER, metrics);
    controller->secrets = kp_secrets_create(controller->loop, controller->kube);
    controller->nodes = kp_nodes_create(&(struct kp_nodes_options){.kube = controller->kube});
    struct kp_serviceranges_options ranges = {.kube = controller->kube,
        .on_ranges = on_service_ranges,
        .on_servers = on_servers,
        .user = controller};
    controller->serviceranges = kp_serviceranges_create(controller->loop, &ranges);
    if (config->leader_elect) {
        struct kp_lease_options lease = {.namespace = config->lease_namespace,
            .name = config->lease_name,
            .identity = config->identity,
            .duration_ms = config->lease_duration_ms,
            .renew_deadline_ms = config->lease_deadline_ms,
            .retry_ms = config->lease_retry_ms,
            .goes_on = config->lease_goes_on};
        controller->lease = kp_lease_create(controller->kube, &lease, on_lease, controller);
    }
}

static void create_heart(struct kp_controller *controller, struct kp_metrics *metrics)
{
    const struct kp_controller_config *config = controller->config;
    controller->plan = kp_plan_create(&config->limits, metrics);
    struct kp_inventory_options inventory = {.target = config->target,
        .caps = config->caps,
        .metrics = metrics,
        .on_cancel = on_cancel,
        .on_replanned = on_replanned,
        .on_annotation_problem = on_annotation_problem,
        .user = controller};
    controller->inventory = kp_inventory_create(controller->loop, controller->plan, &inventory);
    struct kp_watches_options watches = {.kube = controller->kube,
        .inventory = controller->inventory,
        .statuses = controller->statuses,
        .metrics = metrics,
        .namespaces = config->watch_namespaces,
        .cluster_policies = config->cluster_policies,
        .on_synced = on_synced,
        .on_change = on_change,
        .on_namespace = on_namespace,
        .user = controller};
    controller->watches = kp_watches_create(&watches);
    struct kp_confirm_options confirm = {.kube = controller->kube,
        .inventory = controller->inventory,
        .watch_mono_ms = watch_mono_ms,
        .ask_watch = ask_watch,
        .on_verdict = kp_pipeline_on_verdict,
        .metrics = metrics};
    struct kp_pipeline_options pipeline = {.plan = controller->plan,
        .capturer = controller->capturer,
        .secrets = controller->secrets,
        .nodes = controller->nodes,
        .metrics = metrics,
        .on_outcome = on_change,
        .on_limit = on_limit,
        .on_references = on_references,
        .may_start = may_act,
        .may_go_on = may_go_on,
        .user = controller};
    controller->pipeline = kp_pipeline_create(controller->loop, &pipeline);
    confirm.user = controller->pipeline;
    confirm.watch_user = controller;
    controller->confirm = kp_confirm_create(controller->loop, &confirm);
    controller->refresh = kp_timer_create(controller->loop, on_refresh, controller);
    kp_timer_start(controller->refresh, REFRESH_MS, REFRESH_MS);
    controller->lease_over = kp_timer_create(controller->loop, on_lease_over, controller);
    controller->lease_start = kp_timer_create(controller->loop, on_lease_start, controller);
}

int kp_controller_create(struct kp_loop *loop, const struct kp_controller_config *config,
    struct kp_metrics *metrics, struct kp_controller **ret, struct kp_error *err)
{
    struct kp_controller *controller = KP_NEW(struct kp_controller);
    controller->config = config;
    controller->loop = loop;
    controller->leader =
        kp_metric_with(kp_metrics_family(metrics, KP_GAUGE, "leader_election_master_status",
                           "1 while this replica leads.", (const char *const[]){"name", NULL}, NULL, 0, 2),
            (const char *const[]){config->lease_name != NULL ? config->lease_name : "kube-pprof-controller"});
    struct kp_capture_options capture = config->capture;
    capture.metrics = metrics;
    capture.held = kp_pipeline_held;
    capture.held_user = &controller->pipeline;
    controller->capturer = kp_capturer_create(loop, &capture, err);
    if (controller->capturer == NULL) {
        kp_free(controller);
        return err->code;
    }
    create_kube(controller, metrics);
    create_heart(controller, metrics);
    if (create_sink(controller, metrics, err) != 0) {
        kp_controller_destroy(controller);
        return err->code;
    }
    kp_pipeline_connect(controller->pipeline, controller->inventory, controller->confirm, controller->sink,
        controller->statuses);
    struct kp_report_options report = {.plan = controller->plan,
        .inventory = controller->inventory,
        .statuses = controller->statuses,
        .sink = controller->sink,
        .metrics = metrics,
        .synced = synced,
        .trouble_of = trouble_of,
        .may_post = may_act,
        .user = controller};
    controller->report = kp_report_create(loop, &report);
    *ret = controller;
    return 0;
}

void kp_controller_start(struct kp_controller *controller)
{
    kp_watches_start(controller->watches);
    kp_serviceranges_start(controller->serviceranges);
    kp_timer_start(controller->lease_start, PATIENCE_MS, 0);
    decide(controller);
}

struct kp_controller_parts kp_controller_parts(const struct kp_controller *controller)
{
    return (struct kp_controller_parts){.capturer = controller->capturer, .kube = controller->kube};
}

// ---- the end ----

static void stop_step_over(void *user)
{
    struct kp_controller *controller = user;
    if (--controller->stop_steps > 0 || controller->state == STATE_STOPPED)
        return;
    controller->state = STATE_STOPPED;
    kp_timer_stop(controller->stopping);
    controller->on_stopped(controller->stopped_user);
}

// Nothing is written under a lease that is given back.
static void on_statuses_flushed(void *user)
{
    struct kp_controller *controller = user;
    kp_statuses_set_writing(controller->statuses, false);
    if (controller->lease != NULL)
        kp_lease_release(controller->lease, stop_step_over, controller);
    else
        stop_step_over(controller);
}

static void on_grace_over(void *user)
{
    struct kp_controller *controller = user;
    if (controller->state == STATE_STOPPED)
        return;
    KP_SAY(KP_LOG_WARN, "stopping takes too long, going now");
    controller->stop_steps = 1;
    stop_step_over(controller);
}

void kp_controller_stop(struct kp_controller *controller, int64_t grace_ms, kp_loop_fn on_stopped, void *user)
{
    if (controller->state == STATE_STOPPING || controller->state == STATE_STOPPED)
        return;
    controller->state = STATE_STOPPING;
    controller->on_stopped = on_stopped;
    controller->stopped_user = user;
    decide(controller);
    kp_capturer_destroy(controller->capturer);
    controller->capturer = NULL;
    controller->stop_steps = 2;
    controller->stopping = kp_timer_create(controller->loop, on_grace_over, controller);
    kp_timer_start(controller->stopping, grace_ms + 1000, 0);
    kp_sink_flush(controller->sink, grace_ms, stop_step_over, controller);
    bool is_short =
        controller->lease != NULL && !controller->config->lease_goes_on && grace_ms > LAST_STATUS_MS;
    kp_statuses_flush(
        controller->statuses, is_short ? LAST_STATUS_MS : grace_ms, on_statuses_flushed, controller);
}

void kp_controller_destroy(struct kp_controller *controller)
{
    if (controller == NULL)
        return;
    kp_timer_destroy(controller->refresh);
    kp_timer_destroy(controller->stopping);
    kp_timer_destroy(controller->lease_over);
    kp_timer_destroy(controller->lease_start);
    kp_capturer_destroy(controller->capturer);
    // What still ends from here on is nobody's news any more.
    kp_report_destroy(controller->report);
    controller->report = NULL;
    kp_pipeline_connect(
        controller->pipeline, controller->inventory, controller->confirm, controller->sink, NULL);
    kp_watches_destroy(controller->watches);
    kp_registrylink_stop(controller->link);
    kp_serviceranges_destroy(controller->serviceranges);
    kp_lease_destroy(kp_take(controller->lease)); // answers that still come must not find it
    kp_events_destroy(controller->events);
    kp_kube_destroy(controller->kube); // answers that are outstanding come now, as canceled
    kp_statuses_destroy(controller->statuses);
    kp_secrets_destroy(controller->secrets);
    kp_confirm_destroy(controller->confirm);
    kp_nodes_destroy(controller->nodes);
    kp_sink_destroy(controller->sink);
    kp_registrylink_destroy(controller->link);
    kp_pipeline_destroy(controller->pipeline);
    kp_inventory_destroy(controller->inventory);
    kp_plan_destroy(controller->plan);
    kp_free(controller);
}
