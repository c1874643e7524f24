// What the tests of capture share: a pod whose address is a scripted peer's, orders, results as they come.
#ifndef KP_CAPTURE_CAPTURE_FIXTURE_H
#define KP_CAPTURE_CAPTURE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/text.h"
#include "capture/capture.h"
#include "capture/capture_testing.h"
#include "testkit/peer.h"

#define FIXTURE_DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

struct result_seen {
    uint64_t order_id;
    enum kp_outcome outcome;
    char message[240];
    int http_status;
    size_t bytes;
    struct kp_record record; // on success
    struct kp_blob *body;
};

struct bench {
    struct kp_loop *loop;
    struct kp_capturer *capturer;
    struct kp_pod pod;
    struct kp_container container;
    struct kp_endpoint endpoint;
    struct kp_policy policies[2];
    const struct kp_policy *policy_list[2];
    struct kp_labels *labels;
    struct kp_wanted wanted;
    struct kp_target target;
    uint64_t next_id;
    KP_ARRAY(struct result_seen) results;
};

// A small profile: gzip's magic is all that is looked at.
#define FIXTURE_PROFILE "\x1f\x8b\x08\x00profile"

static inline void fixture_fill(struct bench *bench)
{
    bench->container = (struct kp_container){.name = "app",
        .image = "shop/checkout:1",
        .image_id = "docker.io/shop/checkout@" FIXTURE_DIGEST,
        .container_id = "containerd://abc",
        .started_ms = 1763000000000,
        .restarts = 2,
        .ready = true};
    bench->pod = (struct kp_pod){.namespace = "shop",
        .name = "checkout-1",
        .uid = "uid-1",
        .resource_version = "1",
        .node = "node-1",
        .ip = "127.0.0.1",
        .host_ip = "10.9.9.9",
        .owner_kind = "ReplicaSet",
        .owner_name = "checkout-abc",
        .workload_kind = "Deployment",
        .workload_name = "checkout",
        .revision = "abc",
        .version = "1.2",
        .n_containers = 1,
        .containers = &bench->container,
        .refs = 1 << 20};
    bench->policies[0].key = "shop/checkout";
    bench->policies[1].key = "/all";
    bench->policy_list[0] = &bench->policies[0];
    bench->policy_list[1] = &bench->policies[1];
    const struct kp_label label = {"team", "pay"};
    bench->labels = kp_labels_create(&label, 1);
    bench->wanted = (struct kp_wanted){.type = "heap",
        .path = "/debug/pprof/heap",
        .interval_ms = 300000,
        .profile_bytes = 1 << 20,
        .retention_ms = 86400000,
        .service = "checkout",
        .labels = bench->labels,
        .n_policies = 2,
        .policies = bench->policy_list};
    bench->target = (struct kp_target){.pod = &bench->pod,
        .container = &bench->container,
        .key = "uid-1/app/6060",
        .workload = "shop/Deployment/checkout",
        .n_wanted = 1,
        .wanted = &bench->wanted,
        .refs = 1 << 20};
}

#define FIXTURE_PATIENCE_MS 60000 // nothing takes that long, on however busy a machine

// Where the options do not say how long an answer may take, none is too late.
static inline struct bench *fixture_start(struct kp_capture_options options, bool allow_loopback)
{
    if (options.slack_ms == 0)
        options.slack_ms = 2 * FIXTURE_PATIENCE_MS;
    if (options.connect_timeout_ms == 0)
        options.connect_timeout_ms = 2 * FIXTURE_PATIENCE_MS;
    struct bench *bench = KP_NEW(struct bench);
    struct kp_error err = {0};
    bench->loop = kp_loop_create();
    bench->capturer = kp_capturer_create(bench->loop, &options, &err);
    if (bench->capturer == NULL)
        fail_msg("%s", err.text);
    if (allow_loopback)
        kp_capturer_allow(bench->capturer, "127.0.0.0/8");
    fixture_fill(bench);
    return bench;
}

static inline void fixture_on_done(void *user, struct kp_capture_result *result)
{
    struct bench *bench = user;
    struct result_seen seen = {.order_id = result->order_id,
        .outcome = result->outcome,
        .http_status = result->http_status,
        .bytes = result->bytes};
    kp_copy(seen.message, sizeof seen.message, result->message);
    kp_record_init(&seen.record);
    if (result->outcome == KP_OUTCOME_SUCCEEDED) {
        kp_record_finish(&seen.record);
        kp_record_copy(&seen.record, &result->record);
        seen.body = kp_blob_ref(result->body);
    }
    *kp_array_add(&bench->results) = seen;
}

static inline void fixture_forget(struct bench *bench)
{
    for (size_t i = 0; i < bench->results.n; i++) {
        kp_record_finish(&bench->results.items[i].record);
        kp_blob_unref(bench->results.items[i].body);
    }
    bench->results.n = 0;
}

static inline void fixture_end(struct bench *bench)
{
    kp_capturer_destroy(bench->capturer);
    kp_loop_destroy(bench->loop);
    assert_int_equal(bench->target.refs, 1 << 20); // every order gave its reference back
    fixture_forget(bench);
    kp_array_free(&bench->results);
    kp_labels_destroy(bench->labels);
    kp_free(bench);
}

// Starts what bench->wanted and bench->target say; the order's number.
static inline uint64_t fixture_order(
    struct bench *bench, int64_t duration_ms, const struct kp_capture_secrets *secrets)
{
    struct kp_error err = {0};
    struct kp_order order = {.id = ++bench->next_id,
        .target = kp_target_ref(&bench->target),
        .wanted = &bench->wanted,
        .slot_ms = 1764000000000,
        .interval_ms = 600000,
        .duration_ms = duration_ms,
        .sample_k = 3,
        .sample_n = 12};
    size_t before = bench->results.n;
    if (kp_capture_start(bench->capturer, &order, secrets, fixture_on_done, bench, &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(bench->results.n, before); // never from inside
    return bench->next_id;
}

static inline void fixture_until_results(struct bench *bench, size_t n)
{
    int64_t end = kp_mono_ms() + FIXTURE_PATIENCE_MS;
    const bool never = false;
    while (bench->results.n < n) {
        if (kp_mono_ms() > end)
            fail_msg("%zu of %zu results came", bench->results.n, n);
        kp_loop_run_until(bench->loop, &never, 10);
    }
}

// Runs until the peer has read so many requests.
static inline void fixture_until_requests(struct bench *bench, struct kp_peer *peer, size_t n)
{
    int64_t end = kp_mono_ms() + FIXTURE_PATIENCE_MS;
    const bool never = false;
    while (kp_peer_requests(peer) < n) {
        if (kp_mono_ms() > end)
            fail_msg("%zu of %zu requests came", kp_peer_requests(peer), n);
        kp_loop_run_until(bench->loop, &never, 5);
    }
}

// One capture from start to end.
static inline const struct result_seen *fixture_capture(
    struct bench *bench, int64_t duration_ms, const struct kp_capture_secrets *secrets)
{
    fixture_forget(bench);
    fixture_order(bench, duration_ms, secrets);
    fixture_until_results(bench, 1);
    assert_int_equal(kp_capturer_running(bench->capturer), 0);
    return &bench->results.items[0];
}

#endif
