#include "record/pod.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/selector.h"

#include "base/banned.h"

static const struct kp_port ports[] = {{"pprof", 6060, true}, {NULL, 8080, true}};
static const struct kp_container containers[] = {
    {.name = "app",
        .image = "shop/app:1",
        .image_id = "sha256:aa",
        .container_id = "containerd://1",
        .started_ms = 5,
        .restarts = 2,
        .ready = true,
        .n_ports = 2,
        .ports = ports},
    {.name = "side"},
};

static struct kp_pod draft_of(struct kp_label *labels, size_t n)
{
    return (struct kp_pod){.namespace = "shop",
        .name = "checkout-7d9-x",
        .uid = "u1",
        .resource_version = "10",
        .owner_kind = "ReplicaSet",
        .owner_name = "checkout-7d9",
        .phase = KP_POD_RUNNING,
        .ready = true,
        .labels = labels,
        .n_labels = (uint16_t)n,
        .containers = containers,
        .n_containers = 2};
}

static void test_build_copies_everything(void **state)
{
    (void)state;
    struct kp_label labels[] = {
        {"pod-template-hash", "7d9"}, {"app", "old"}, {"empty", ""}, {"app", "checkout"}};
    struct kp_label notes[] = {{"profefe.com/port", "6060"}, {"profefe.com/enable", "true"}};
    struct kp_pod draft = draft_of(labels, KP_COUNT(labels));
    draft.annotations = notes;
    draft.n_annotations = 2;
    struct kp_pod *pod = kp_pod_build(&draft);
    assert_string_equal(pod->name, "checkout-7d9-x");
    assert_ptr_not_equal(pod->name, draft.name);
    assert_string_equal(pod->ip, "");
    assert_int_equal(pod->n_labels, 3);
    assert_string_equal(pod->labels[0].key, "app");
    assert_string_equal(kp_pod_label(pod, "app"), "checkout");
    assert_string_equal(kp_pod_label(pod, "empty"), "");
    assert_null(kp_pod_label(pod, "none"));
    assert_string_equal(kp_pod_annotation(pod, "profefe.com/port"), "6060");
    assert_string_equal(pod->annotations[0].key, "profefe.com/enable");
    assert_string_equal(pod->containers[0].ports[0].name, "pprof");
    assert_string_equal(pod->containers[0].ports[1].name, "");
    assert_int_equal(pod->containers[0].ports[1].number, 8080);
    assert_string_equal(pod->containers[1].container_id, "");
    assert_string_equal(kp_pod_label_lookup(pod, "app"), "checkout");
    struct kp_pod *second = kp_pod_ref(pod);
    kp_pod_unref(pod);
    assert_string_equal(second->uid, "u1");
    kp_pod_unref(second);
    kp_pod_unref(NULL);
}

static const struct {
    const char *owner_kind, *owner_name, *hash_key, *hash;
    const char *kind, *name, *revision;
} workloads[] = {
    {"ReplicaSet", "checkout-7d9", "pod-template-hash", "7d9", "Deployment", "checkout", "7d9"},
    {"ReplicaSet", "my-app-v2-7d9", "pod-template-hash", "7d9", "Deployment", "my-app-v2", "7d9"},
    {"ReplicaSet", "checkout-7d9", "pod-template-hash", "abc", "ReplicaSet", "checkout-7d9", "abc"},
    {"ReplicaSet", "checkout-7d9", NULL, NULL, "ReplicaSet", "checkout-7d9", ""},
    {"ReplicaSet", "-7d9", "pod-template-hash", "7d9", "ReplicaSet", "-7d9", "7d9"},
    {"ReplicaSet", "web-55", "rollouts-pod-template-hash", "55", "Rollout", "web", "55"},
    {"StatefulSet", "db", "controller-revision-hash", "db-66", "StatefulSet", "db", "db-66"},
    {"DaemonSet", "agent", "controller-revision-hash", "5b8", "DaemonSet", "agent", "5b8"},
    {"Job", "report-28000000", NULL, NULL, "CronJob", "report", ""},
    {"Job", "report-2800000", NULL, NULL, "Job", "report-2800000", ""},
    {"Job", "28000000", NULL, NULL, "Job", "28000000", ""},
    {"Job", "-28000000", NULL, NULL, "Job", "-28000000", ""},
    {"CloneSet", "c", NULL, NULL, "CloneSet", "c", ""},
    {"Node", "x", NULL, NULL, "StaticPod", "checkout-7d9", ""},
    {"Node", "cp1", NULL, NULL, "StaticPod", "checkout-7d9-x", ""},
    {NULL, NULL, NULL, NULL, "Pod", "checkout-7d9-x", ""},
    {"", "", NULL, NULL, "Pod", "checkout-7d9-x", ""},
};

static void test_workloads(void **state)
{
    (void)state;
    for (size_t i = 0; i < KP_COUNT(workloads); i++) {
        struct kp_label labels[] = {{workloads[i].hash_key, workloads[i].hash}};
        struct kp_pod draft = draft_of(labels, workloads[i].hash_key ? 1 : 0);
        draft.owner_kind = workloads[i].owner_kind;
        draft.owner_name = workloads[i].owner_name;
        struct kp_pod *pod = kp_pod_build(&draft);
        assert_string_equal(pod->workload_kind, workloads[i].kind);
        assert_string_equal(pod->workload_name, workloads[i].name);
        assert_string_equal(pod->revision, workloads[i].revision);
        kp_pod_unref(pod);
    }
}

static void test_version_label(void **state)
{
    (void)state;
    struct kp_label both[] = {{"version", "v1"}, {"app.kubernetes.io/version", "2.0"}};
    struct kp_pod draft = draft_of(both, 2);
    struct kp_pod *pod = kp_pod_build(&draft);
    assert_string_equal(pod->version, "2.0");
    kp_pod_unref(pod);
    draft.n_labels = 1;
    pod = kp_pod_build(&draft);
    assert_string_equal(pod->version, "v1");
    kp_pod_unref(pod);
}

#define DIFFERS(change)                                                                                      \
    do {                                                                                                     \
        struct kp_pod other = draft_of(labels, 1);                                                           \
        other.containers = changed;                                                                          \
        memcpy(changed, containers, sizeof containers);                                                      \
        memcpy(changed_ports, ports, sizeof ports);                                                          \
        changed[0].ports = changed_ports;                                                                    \
        change;                                                                                              \
        struct kp_pod *b = kp_pod_build(&other);                                                             \
        assert_false(kp_pod_same(a, b));                                                                     \
        kp_pod_unref(b);                                                                                     \
    } while (0)

static void test_same(void **state)
{
    (void)state;
    struct kp_label labels[] = {{"app", "a"}};
    struct kp_label relabelled[] = {{"app", "b"}};
    struct kp_container changed[2];
    struct kp_port changed_ports[2];
    struct kp_pod draft = draft_of(labels, 1);
    struct kp_pod *a = kp_pod_build(&draft);
    draft.resource_version = "11";
    struct kp_pod *heartbeat = kp_pod_build(&draft);
    assert_true(kp_pod_same(a, a));
    assert_true(kp_pod_same(a, heartbeat));
    kp_pod_unref(heartbeat);
    DIFFERS(other.uid = "u2");
    DIFFERS(other.ip = "10.0.0.1");
    DIFFERS(other.phase = KP_POD_FAILED);
    DIFFERS(other.ready = false);
    DIFFERS(other.deleting = true);
    DIFFERS(other.labels = relabelled);
    DIFFERS(other.n_labels = 0);
    DIFFERS((other.annotations = relabelled, other.n_annotations = 1));
    DIFFERS(other.n_containers = 1);
    DIFFERS(changed[0].container_id = "containerd://2");
    DIFFERS(changed[0].restarts = 3);
    DIFFERS(changed[0].n_ports = 1);
    DIFFERS(changed_ports[1].number = 8081);
    kp_pod_unref(a);
}

static void test_kept_annotations(void **state)
{
    (void)state;
    static const char *const kept[] = {"kube-pprof.dev/enable", "profefe.com/port", "pyroscope.io/scrape",
        "profiles.grafana.com/cpu.scrape", "coroot.com/profile-scrape", "kubernetes.io/config.mirror"};
    static const char *const dropped[] = {"", "kube-pprof.dev/", "prometheus.io/scrape",
        "kubectl.kubernetes.io/last-applied-configuration", "xprofefe.com/port",
        "kubernetes.io/config.mirrors", "kubernetes.io/config.hash"};
    for (size_t i = 0; i < KP_COUNT(kept); i++)
        assert_true(kp_pod_keeps_annotation(kept[i], strlen(kept[i])));
    for (size_t i = 0; i < KP_COUNT(dropped); i++)
        assert_false(kp_pod_keeps_annotation(dropped[i], strlen(dropped[i])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_build_copies_everything),
        cmocka_unit_test(test_workloads),
        cmocka_unit_test(test_version_label),
        cmocka_unit_test(test_same),
        cmocka_unit_test(test_kept_annotations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
