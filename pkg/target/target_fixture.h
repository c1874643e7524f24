// Pods and policies for the tests beside it.
#ifndef KP_TARGET_TARGET_FIXTURE_H
#define KP_TARGET_TARGET_FIXTURE_H

#include <stdlib.h>
#include <string.h>

#include "policy/policy_fixture.h"
#include "target/target.h"

static const struct kp_target_config fixture_config = {.dialects = KP_DIALECTS_DEFAULT};

// A Ready pod with one container that declares no port: what a test is about is changed in the draft.
struct fixture_pod {
    struct kp_pod draft;
    struct kp_container containers[4];
    struct kp_port ports[4][4];
    struct kp_label labels[8], notes[16];
};

static inline void fixture_pod_init(struct fixture_pod *f)
{
    memset(f, 0, sizeof *f);
    f->containers[0] =
        (struct kp_container){.name = "app", .started_ms = 1000, .ready = true, .ports = f->ports[0]};
    f->draft = (struct kp_pod){.namespace = "shop",
        .name = "checkout-7d9-x",
        .uid = "u1",
        .ip = "10.0.0.7",
        .node = "n1",
        .owner_kind = "ReplicaSet",
        .owner_name = "checkout-7d9",
        .phase = KP_POD_RUNNING,
        .ready = true,
        .ready_since_ms = 2000,
        .labels = f->labels,
        .annotations = f->notes,
        .containers = f->containers,
        .n_containers = 1};
    f->labels[f->draft.n_labels++] = (struct kp_label){"app", "checkout"};
    f->labels[f->draft.n_labels++] = (struct kp_label){"pod-template-hash", "7d9"};
}

static inline void fixture_note(struct fixture_pod *f, const char *key, const char *value)
{
    assert_true(f->draft.n_annotations < KP_COUNT(f->notes));
    f->notes[f->draft.n_annotations++] = (struct kp_label){key, value};
}

static inline void fixture_label(struct fixture_pod *f, const char *key, const char *value)
{
    f->labels[f->draft.n_labels++] = (struct kp_label){key, value};
}

static inline void fixture_container(struct fixture_pod *f, const char *name)
{
    size_t i = f->draft.n_containers++;
    f->containers[i] =
        (struct kp_container){.name = name, .started_ms = 1000, .ready = true, .ports = f->ports[i]};
}

static inline void fixture_port(struct fixture_pod *f, size_t container, const char *name, uint16_t number)
{
    f->ports[container][f->containers[container].n_ports++] = (struct kp_port){name, number, true};
}

// The verdict of policies that are given up afterwards; they are sorted first.
static inline void fixture_build_with(struct fixture_pod *f, struct kp_policy **policies, size_t n,
    const struct kp_target_config *config, struct kp_verdict *ret)
{
    struct kp_pod *pod = kp_pod_build(&f->draft);
    for (size_t i = 1; i < n; i++)
        for (size_t k = i; k > 0 && kp_policy_compare(policies[k - 1], policies[k]) > 0; k--) {
            struct kp_policy *swap = policies[k];
            policies[k] = policies[k - 1];
            policies[k - 1] = swap;
        }
    kp_target_build(pod, (const struct kp_policy *const *)policies, n, NULL, KP_IP_OWN, config, ret);
    kp_pod_unref(pod); // targets hold it
}

static inline void fixture_free(struct kp_policy **policies, size_t n)
{
    for (size_t i = 0; i < n; i++)
        kp_policy_unref(policies[i]);
}

#endif
