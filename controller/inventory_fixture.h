// An inventory with a plan behind it, and pods and policies to give it, for the tests beside it.
#ifndef KP_CONTROLLER_INVENTORY_FIXTURE_H
#define KP_CONTROLLER_INVENTORY_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/text.h"
#include "controller/inventory_private.h"
#include "plan/plan.h"

struct bench {
    struct kp_loop *loop;
    struct kp_plan *plan;
    struct kp_metrics *metrics;
    struct kp_inventory *inventory;
    int replanned, cancelled, problems;
};

static inline void on_cancel(void *user, uint64_t order_id)
{
    (void)order_id;
    ((struct bench *)user)->cancelled++;
}

static inline void on_replanned(void *user, const char *namespace)
{
    assert_string_equal(namespace, "shop");
    ((struct bench *)user)->replanned++;
}

static inline void on_problem(
    void *user, const struct kp_pod *pod, const struct kp_annotation_problem *problem)
{
    (void)pod;
    assert_non_null(strstr(problem->message, "profefe.com/port"));
    ((struct bench *)user)->problems++;
}

static __attribute__((unused)) int64_t slice_us;

static inline void bench_open(struct bench *b)
{
    *b = (struct bench){
        .loop = kp_loop_create(), .plan = kp_plan_create(NULL, NULL), .metrics = kp_metrics_create()};
    struct kp_inventory_options options = {.target = {.dialects = KP_DIALECTS_DEFAULT},
        .slice_us = slice_us,
        .metrics = b->metrics,
        .on_cancel = on_cancel,
        .on_replanned = on_replanned,
        .on_annotation_problem = on_problem,
        .user = b};
    b->inventory = kp_inventory_create(b->loop, b->plan, &options);
}

static inline void bench_close(struct bench *b)
{
    kp_inventory_destroy(b->inventory);
    kp_plan_destroy(b->plan);
    kp_loop_destroy(b->loop);
    kp_metrics_destroy(b->metrics);
}

static inline void settle(struct bench *b)
{
    bool never = false;
    for (int i = 0; i < 100 && kp_inventory_busy(b->inventory); i++)
        kp_loop_run_until(b->loop, &never, 10);
    assert_false(kp_inventory_busy(b->inventory));
}

static inline const struct kp_pod *make_pod(
    const char *name, const char *ip, const char *annotation, const char *value)
{
    kp_auto_free char *uid = kp_asprintf("uid-%s", name);
    struct kp_label label = {"app", "checkout"}, note = {annotation, value};
    struct kp_port port = {.name = "pprof", .number = 6060, .tcp = true};
    struct kp_container container = {.name = "app",
        .image = "i",
        .image_id = "",
        .container_id = uid,
        .started_ms = 1,
        .ready = true,
        .n_ports = 1,
        .ports = &port};
    struct kp_pod draft = {.namespace = "shop",
        .name = name,
        .uid = uid,
        .resource_version = "1",
        .node = "n",
        .ip = ip,
        .host_ip = "10.9.9.9",
        .owner_kind = "StatefulSet",
        .owner_name = "checkout",
        .workload_kind = "",
        .workload_name = "",
        .revision = "",
        .version = "",
        .phase = KP_POD_RUNNING,
        .ready = true,
        .ready_since_ms = 1,
        .labels = &label,
        .n_labels = 1,
        .annotations = &note,
        .n_annotations = annotation != NULL ? 1 : 0,
        .n_containers = 1,
        .containers = &container};
    return kp_pod_build(&draft);
}

static inline void give(struct bench *b, const struct kp_pod *draft)
{
    kp_auto_free char *key = kp_asprintf("%s/%s", draft->namespace, draft->name);
    const struct kp_pod *pod = kp_pod_build(draft);
    kp_inventory_set_pod(b->inventory, key, pod);
    kp_pod_unref(pod);
}

static inline void set_pod(
    struct bench *b, const char *name, const char *ip, const char *annotation, const char *value)
{
    const struct kp_pod *pod = make_pod(name, ip, annotation, value);
    give(b, pod);
    kp_pod_unref(pod);
}

static inline void set_pod_with(
    struct bench *b, const char *name, const char *ip, const char *other_ip, const char *host_ip)
{
    const struct kp_pod *made = make_pod(name, ip, NULL, NULL);
    struct kp_pod draft = *made;
    draft.other_ip = other_ip;
    draft.host_ip = host_ip;
    give(b, &draft);
    kp_pod_unref(made);
}

static inline void set_policy(
    struct bench *b, const char *key, const char *namespace, const char *spec, int generation)
{
    kp_auto_free char *text =
        kp_asprintf("{\"metadata\":{%s\"name\":\"p\",\"uid\":\"u\",\"generation\":%d},\"spec\":%s}",
            namespace, generation, spec);
    json_t *object = json_loads(text, 0, NULL);
    assert_non_null(object);
    assert_non_null(kp_inventory_set_policy(b->inventory, key, object));
    json_decref(object);
}

static inline void count_target(
    void *user, const struct kp_target *target, const struct kp_plan_profile *profiles)
{
    (void)target;
    (void)profiles;
    (*(int *)user)++;
}

static inline int targets(struct bench *b)
{
    int n = 0;
    kp_plan_each_target(b->plan, 0, count_target, &n);
    return n;
}

#define NAMESPACED "\"namespace\":\"shop\","
#define ALL        "{\"selector\":{\"matchLabels\":{\"app\":\"checkout\"}}}"

#endif
