// The APIService of the aggregated API. One whose registry is down would leave every namespace of the cluster
// in Terminating, so the controller's leader keeps it: made when the registry answers over verified TLS,
// withdrawn when it has not for 60 s, or when the API server itself has found no way to it for so long; then
// it is made again after a while. One that is not ours is left alone. A ConfigMap of the chart is the
// switch: when it is gone (uninstalling deletes it first), ours goes and none is made.
#ifndef KP_CONTROLLER_APISERVICE_H
#define KP_CONTROLLER_APISERVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "aio/loop.h"
#include "base/metrics.h"
#include "kube/client.h"

#define KP_APISERVICE      "v1alpha1.data.kube-pprof.dev"
#define KP_APISERVICE_MARK "kube-pprof.dev/registry" // annotation, "NAMESPACE/SERVICE": whose it is
#define KP_APISERVICE_PATH "/apis/apiregistration.k8s.io/v1/apiservices/" KP_APISERVICE

// ---- deciding, pure ----

enum kp_apiservice_found {
    KP_APISERVICE_ABSENT,
    KP_APISERVICE_OTHERS, // without our mark, or of another registry
    KP_APISERVICE_STALE,  // ours, but not what it should be
    KP_APISERVICE_GOOD,
};
struct kp_apiservice_facts {
    bool wanted;         // by flag
    bool switched_on;    // the ConfigMap is there
    bool has_bundle;     // it is known what verifies the registry
    int64_t answered_ms; // when the registry last answered, or when this replica began to lead; monotonic
    bool answers;        // the last time it was asked
    enum kp_apiservice_found found;
    int64_t available_ms; // when the API server last called it available, or there was none; monotonic
    int64_t again_ms;     // none is made sooner: the last one was of no use to the API server
};
enum kp_apiservice_step { KP_APISERVICE_LEAVE, KP_APISERVICE_APPLY, KP_APISERVICE_WITHDRAW };
enum kp_apiservice_step kp_apiservice_decide(
    const struct kp_apiservice_facts *facts, int64_t now_mono_ms, const char **ret_why);

// ---- doing ----

// DeleteOptions for the object that was read, and no other of its name: what was made since is left.
struct kp_blob *kp_apiservice_delete_options(const json_t *object);

struct kp_apiservice;
struct kp_apiservice_options {
    struct kp_kube *kube;
    bool wanted;
    const char *namespace, *service; // of the registry
    int port;
    const char
        *switch_name; // ConfigMap in namespace; NULL: the registry is asked, APIServices are not touched
    struct kp_metrics *metrics;
    // Asks the registry whether it is there; on_done once, at once or later.
    void (*probe)(void *user, void (*on_done)(void *asker, bool answers, const char *why_not), void *asker);
    void (*on_answers)(void *user, bool answers); // when that changes
    void *user;
    int64_t every_ms; // 0 = 5 s
};

struct kp_apiservice *kp_apiservice_create(struct kp_loop *loop, const struct kp_apiservice_options *options);
// Only while this replica leads.
void kp_apiservice_set_running(struct kp_apiservice *service, bool running);
// What verifies the registry; copied. Goes into the APIService at once.
void kp_apiservice_set_bundle(struct kp_apiservice *service, const char *bundle);
// Nobody verifies the registry by an APIService with another bundle: it has this one, or there is none of
// ours.
bool kp_apiservice_published(const struct kp_apiservice *service, const char *bundle);
void kp_apiservice_destroy(
    struct kp_apiservice *service); // after what the probe asks, before the kube client

#endif
