// For the tests of plan: targets made by hand, whole clusters of them.
#ifndef KP_PLAN_PLAN_FIXTURE_H
#define KP_PLAN_PLAN_FIXTURE_H

#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/backoff.h"
#include "plan/plan.h"
#include "policy/policy.h"
#include "target/target.h"

struct fixture_workload {
    char *key, *name;
    unsigned revision, serial;
    bool rolling;                 // half of the pods belong to the newest revision
    struct kp_policy *own_policy; // NULL = the cluster's
    KP_ARRAY(const struct kp_pod *) pods;
    KP_ARRAY(struct kp_target *) targets;
};

struct fixture_cluster {
    struct kp_policy *policy;
    const struct kp_policy *policies[1];
    struct fixture_workload *workloads;
    size_t n;
    uint64_t random, seed; // names hold the seed, so that slots and samples depend on it
    const char *budget;    // of fixture_set_profile; NULL = as many at once as there are pods
    unsigned nodes;        // 0 = 500
};

static inline struct kp_policy *fixture_named_policy(const char *name, const char *spec)
{
    kp_auto_free char *text = kp_asprintf(
        "{\"metadata\":{\"name\":\"%s\",\"uid\":\"u\",\"generation\":1},\"spec\":%s}", name, spec);
    json_error_t ignored;
    json_t *object = json_loads(text, 0, &ignored);
    struct kp_policy *policy = NULL;
    struct kp_error err = {0};
    if (object == NULL || kp_policy_parse(object, NULL, &policy, &err) != 0 || policy->reject_reason != NULL)
        return NULL;
    json_decref(object);
    return policy;
}

static inline struct kp_policy *fixture_policy(const char *spec)
{
    return fixture_named_policy("p", spec);
}

static inline const struct kp_pod *fixture_pod(
    const char *workload, unsigned revision, unsigned serial, unsigned node, int64_t ready_ms)
{
    char name[100], uid[64], hash[24], ip[24], node_name[24], cid[64];
    snprintf(name, sizeof name, "%s-%u-%u", workload, revision, serial);
    snprintf(uid, sizeof uid, "uid-%s-%u-%u", workload, revision, serial);
    snprintf(hash, sizeof hash, "r%u", revision);
    snprintf(ip, sizeof ip, "10.1.%u.%u", serial / 250 % 250, serial % 250);
    snprintf(node_name, sizeof node_name, "node-%u", node);
    snprintf(cid, sizeof cid, "containerd://%s", uid);
    struct kp_label labels[] = {{"pod-template-hash", hash}};
    struct kp_port port = {.name = "pprof", .number = 6060, .tcp = true};
    struct kp_container container = {.name = "app",
        .image = "i",
        .image_id = "sha256:1",
        .container_id = cid,
        .started_ms = ready_ms - 1000,
        .ready = true,
        .n_ports = 1,
        .ports = &port};
    kp_auto_free char *owner = kp_asprintf("%s-%s", workload, hash);
    struct kp_pod draft = {.namespace = "shop",
        .name = name,
        .uid = uid,
        .resource_version = "1",
        .node = node_name,
        .ip = ip,
        .host_ip = "10.9.9.9",
        .owner_kind = "ReplicaSet",
        .owner_name = owner,
        .version = "",
        .workload_kind = "",
        .workload_name = "",
        .revision = "",
        .phase = KP_POD_RUNNING,
        .ready = true,
        .created_ms = ready_ms - 2000,
        .ready_since_ms = ready_ms,
        .labels = labels,
        .n_labels = 1,
        .n_containers = 1,
        .containers = &container};
    return kp_pod_build(&draft);
}

static inline void fixture_retarget(struct fixture_cluster *cluster, struct fixture_workload *workload)
{
    const struct kp_target_config config = {.dialects = KP_DIALECTS_DEFAULT};
    const struct kp_policy *own[] = {workload->own_policy};
    const struct kp_policy *const *policies = workload->own_policy != NULL ? own : cluster->policies;
    for (size_t i = 0; i < workload->targets.n; i++)
        kp_target_unref(workload->targets.items[i]);
    workload->targets.n = 0;
    for (size_t i = 0; i < workload->pods.n; i++) {
        struct kp_verdict verdict;
        kp_target_build(workload->pods.items[i], policies, 1, NULL, KP_IP_OWN, &config, &verdict);
        for (size_t t = 0; t < verdict.targets.n; t++)
            *kp_array_add(&workload->targets) = kp_target_ref(verdict.targets.items[t]);
        kp_verdict_finish(&verdict);
    }
}

static inline unsigned fixture_node(struct fixture_cluster *cluster)
{
    return (unsigned)(kp_random_next(&cluster->random) % (cluster->nodes != 0 ? cluster->nodes : 500));
}

static inline void fixture_workload_make(struct fixture_cluster *cluster, struct fixture_workload *workload,
    size_t w, size_t pods, int64_t ready_ms)
{
    workload->name = kp_asprintf("w%llu-%zu", (unsigned long long)cluster->seed, w);
    workload->key = kp_asprintf("shop/Deployment/%s", workload->name);
    for (size_t i = 0; i < pods; i++)
        *kp_array_add(&workload->pods) =
            fixture_pod(workload->name, 0, workload->serial++, fixture_node(cluster), ready_ms);
    fixture_retarget(cluster, workload);
}

static inline void fixture_cluster_make(
    struct fixture_cluster *cluster, size_t workloads, size_t pods_each, uint64_t seed, int64_t ready_ms)
{
    *cluster = (struct fixture_cluster){.n = workloads, .random = seed, .seed = seed};
    cluster->policy = fixture_policy("{\"selector\":{}}");
    cluster->policies[0] = cluster->policy;
    cluster->workloads = KP_NEW_ARRAY(struct fixture_workload, workloads);
    for (size_t w = 0; w < workloads; w++)
        fixture_workload_make(cluster, &cluster->workloads[w], w, pods_each, ready_ms);
}

static inline const char *fixture_policy_key(const struct fixture_cluster *cluster)
{
    return cluster->policy->key;
}

// One pod goes, another of the same revision comes.
static inline void fixture_replace_pod(
    struct fixture_cluster *cluster, size_t w, uint64_t which, int64_t now_ms)
{
    struct fixture_workload *workload = &cluster->workloads[w];
    const struct kp_pod **pod = &workload->pods.items[which % workload->pods.n];
    kp_pod_unref(*pod);
    *pod = fixture_pod(workload->name, workload->revision, workload->serial++, fixture_node(cluster), now_ms);
    fixture_retarget(cluster, workload);
}

// A rolling update: half of the pods belong to the new revision; the next call finishes it.
static inline void fixture_roll(struct fixture_cluster *cluster, size_t w, int64_t now_ms)
{
    struct fixture_workload *workload = &cluster->workloads[w];
    if (!workload->rolling)
        workload->revision++;
    for (size_t i = workload->rolling ? 1 : 0; i < workload->pods.n; i += 2) {
        kp_pod_unref(workload->pods.items[i]);
        workload->pods.items[i] = fixture_pod(
            workload->name, workload->revision, workload->serial++, fixture_node(cluster), now_ms);
    }
    workload->rolling = !workload->rolling;
    fixture_retarget(cluster, workload);
}

// The policy now asks for one profile only.
static inline void fixture_set_profile(
    struct fixture_cluster *cluster, size_t w, const char *type, int64_t interval_ms, int64_t duration_ms)
{
    kp_auto_free char *duration = kp_asprintf(",\"duration\":\"%llds\"", (long long)duration_ms / 1000);
    kp_auto_free char *spec = kp_asprintf("{\"selector\":{},\"budget\":%s,\"profiles\":[{\"type\":"
                                          "\"%s\",\"interval\":\"%llds\"%s}]}",
        cluster->budget != NULL ? cluster->budget : "{\"concurrentPerWorkload\":\"100%\"}", type,
        (long long)interval_ms / 1000, duration_ms > 0 ? duration : "");
    struct kp_policy *old = cluster->policy;
    cluster->policy = fixture_policy(spec);
    cluster->policies[0] = cluster->policy;
    fixture_retarget(cluster, &cluster->workloads[w]);
    kp_policy_unref(old);
}

static inline void fixture_cluster_free(struct fixture_cluster *cluster)
{
    for (size_t w = 0; w < cluster->n; w++) {
        struct fixture_workload *workload = &cluster->workloads[w];
        for (size_t i = 0; i < workload->pods.n; i++)
            kp_pod_unref(workload->pods.items[i]);
        for (size_t i = 0; i < workload->targets.n; i++)
            kp_target_unref(workload->targets.items[i]);
        kp_policy_unref(workload->own_policy);
        kp_array_free(&workload->pods);
        kp_array_free(&workload->targets);
        kp_free(workload->key);
        kp_free(workload->name);
    }
    kp_free(cluster->workloads);
    kp_policy_unref(cluster->policy);
}

#endif
