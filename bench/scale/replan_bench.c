// What a pod event costs until the schedule knows it: inventory and plan alone, no API server.
//
//     kp_replan_bench [PODS 10000] [EVENTS 20000] [EVENTS_PER_TURN 10] [one]
//
// Pods lie in workloads as bench/scale posts them, or all in one, of which three are sampled. Each event
// changes a label that the policy asks for; a turn is the 35 ms in which a watch gathers changes. Prints CPU
// time per event, and the longest stretches of work.
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "aio/loop.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/text.h"
#include "controller/inventory.h"
#include "base/banned.h"

#define SPEC                                                                                                 \
    "{\"metadata\":{\"name\":\"all\",\"uid\":\"u\",\"generation\":1},\"spec\":{\"selector\":{},"             \
    "\"profiles\":[{\"type\":\"heap\",\"interval\":\"24h\"}],\"sampling\":{\"replicas\":\"100%\"},"          \
    "\"labels\":{\"fromPod\":[\"team\",\"release\"]}}}"
#define SPEC_OF_ONE                                                                                          \
    "{\"metadata\":{\"name\":\"all\",\"uid\":\"u\",\"generation\":1},\"spec\":{\"selector\":{},"             \
    "\"labels\":{\"fromPod\":[\"team\",\"release\"]}}}"

static int n_pods = 10000;
static bool one_workload;

static void on_cancel(void *user, uint64_t id)
{
    (void)user;
    (void)id;
}

static void on_replanned(void *user, const char *namespace)
{
    (void)user;
    (void)namespace;
}

static void on_order(void *user, struct kp_order *order)
{
    (void)user;
    kp_target_unref(order->target);
}

static int workload_of(int i)
{
    if (one_workload)
        return 0;
    int quarter = n_pods / 4;
    if (i < quarter)
        return i / 250;
    int large = (quarter + 249) / 250, middle = (quarter + 29) / 30;
    return i < 2 * quarter ? large + (i - quarter) / 30 : large + middle + (i - 2 * quarter) / 5;
}

static void set_pod(struct kp_inventory *inventory, int i, int event)
{
    char namespace[16], name[40], owner[40], ip[20], id[80], release[24], hash[12];
    int workload = workload_of(i);
    snprintf(hash, sizeof hash, "%08x", workload);
    snprintf(namespace, sizeof namespace, "team-%02d", workload % 20);
    snprintf(owner, sizeof owner, "service-%04d-%s", workload, hash);
    snprintf(name, sizeof name, "service-%04d-%05x", workload, i);
    snprintf(ip, sizeof ip, "10.100.%d.%d", i / 250, i % 250 + 1);
    snprintf(id, sizeof id, "containerd://%064x", i);
    snprintf(release, sizeof release, "r%d", event);
    kp_auto_free char *uid = kp_asprintf("00000000-0000-4000-8000-%012x", i);
    struct kp_label labels[] = {
        {"app", "checkout"}, {"pod-template-hash", hash}, {"release", release}, {"team", namespace}};
    struct kp_port port = {.name = "pprof", .number = 6060, .tcp = true};
    struct kp_container container = {.name = "app",
        .image = "registry.example.com/shop/app:1",
        .image_id = "",
        .container_id = id,
        .started_ms = 1,
        .ready = true,
        .n_ports = 1,
        .ports = &port};
    struct kp_pod draft = {.namespace = namespace,
        .name = name,
        .uid = uid,
        .resource_version = release,
        .node = "node-1",
        .ip = ip,
        .host_ip = "192.0.2.1",
        .owner_kind = "ReplicaSet",
        .owner_name = owner,
        .workload_kind = "",
        .workload_name = "",
        .revision = "",
        .version = "",
        .phase = KP_POD_RUNNING,
        .ready = true,
        .ready_since_ms = 1,
        .labels = labels,
        .n_labels = KP_COUNT(labels),
        .n_containers = 1,
        .containers = &container};
    struct kp_pod *pod = kp_pod_build(&draft);
    kp_auto_free char *key = kp_asprintf("%s/%s", namespace, name);
    kp_inventory_set_pod(inventory, key, pod);
    kp_pod_unref(pod);
}

static double cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

// Returns the longest turn.
static double settle(struct kp_loop *loop, const struct kp_inventory *inventory)
{
    bool never = false;
    double most = 0;
    while (kp_inventory_busy(inventory)) {
        double at = cpu_ms();
        kp_loop_run_until(loop, &never, 1);
        most = cpu_ms() - at > most ? cpu_ms() - at : most;
    }
    return most;
}

int main(int argc, char **argv)
{
    n_pods = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 10000;
    int n_events = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 20000,
        per_turn = argc > 3 ? (int)strtol(argv[3], NULL, 10) : 10;
    struct kp_loop *loop = kp_loop_create();
    struct kp_plan *plan = kp_plan_create(NULL, NULL);
    struct kp_inventory_options options = {
        .target = {.dialects = KP_DIALECTS_DEFAULT}, .on_cancel = on_cancel, .on_replanned = on_replanned};
    size_t before = mallinfo2().uordblks;
    struct kp_inventory *inventory = kp_inventory_create(loop, plan, &options);
    one_workload = argc > 4 && strcmp(argv[4], "one") == 0;
    json_t *policy = json_loads(one_workload ? SPEC_OF_ONE : SPEC, 0, NULL);
    kp_inventory_set_policy(inventory, "/all", policy);
    json_decref(policy);
    double start = cpu_ms(), at, most = 0, run = 0, run_most = 0;
    for (int i = 0; i < n_pods; i++)
        set_pod(inventory, i, 0);
    printf("%d pods: %.0f ms to take in, %.0f bytes each\n", n_pods, cpu_ms() - start,
        (double)(mallinfo2().uordblks - before) / n_pods);
    start = cpu_ms();
    kp_inventory_open(inventory);
    double turn = settle(loop, inventory);
    int64_t now = 1790000000000;
    kp_plan_run(plan, now, on_order, NULL);
    printf("planned in %.0f ms, the longest turn %.1f ms; %.0f bytes each\n", cpu_ms() - start, turn,
        (double)(mallinfo2().uordblks - before) / n_pods);
    // one pod goes, which the plan is told by handing it the workload
    start = cpu_ms();
    kp_inventory_set_pod(inventory, "team-00/service-0000-00000", NULL);
    turn = settle(loop, inventory);
    printf("a pod less: %.1f ms, the longest turn %.1f ms\n", cpu_ms() - start, turn);
    set_pod(inventory, 0, 0);
    settle(loop, inventory);
    start = cpu_ms();
    kp_plan_settle(plan, now);
    printf("sampled and stretched in %.1f ms\n", cpu_ms() - start);
    start = cpu_ms();
    for (int e = 0; e < n_events; e += per_turn) {
        at = cpu_ms();
        for (int k = e; k < e + per_turn; k++)
            set_pod(inventory, (int)((long)k * 7919 % n_pods), k + 1);
        settle(loop, inventory);
        most = cpu_ms() - at > most ? cpu_ms() - at : most;
        at = cpu_ms();
        kp_plan_run(plan, now += 20, on_order, NULL);
        double took = cpu_ms() - at;
        run += took;
        run_most = took > run_most ? took : run_most;
    }
    printf("%d events, %d a turn: %.1f us each; of that %.1f us in kp_plan_run\n", n_events, per_turn,
        (cpu_ms() - start) * 1e3 / n_events, run * 1e3 / n_events);
    printf("longest: a turn's changes %.2f ms (slices of 3 ms), kp_plan_run %.2f ms\n", most, run_most);
    kp_inventory_destroy(inventory);
    kp_plan_destroy(plan);
    kp_loop_destroy(loop);
    return 0;
}
