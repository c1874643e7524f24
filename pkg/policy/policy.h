// What was asked for: a ProfilingPolicy or ClusterProfilingPolicy after defaults. Immutable once parsed,
// shared by reference count. Pure: no I/O, no clock.
#ifndef KP_POLICY_POLICY_H
#define KP_POLICY_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/error.h"
#include "base/labels.h"
#include "base/limits.h"
#include "base/quantity.h"
#include "base/selector.h"

#define KP_GROUP       "kube-pprof.dev"
#define KP_API_VERSION "kube-pprof.dev/v1alpha1"

enum kp_annotation_policy { KP_ANNOTATIONS_HONOR, KP_ANNOTATIONS_REQUIRE, KP_ANNOTATIONS_IGNORE };
enum kp_on_busy { KP_ON_BUSY_YIELD, KP_ON_BUSY_RETRY };
enum kp_service_source {
    KP_SERVICE_WORKLOAD,
    KP_SERVICE_POD_LABEL,
    KP_SERVICE_ANNOTATION,
    KP_SERVICE_STATIC
};
enum kp_auth_type { KP_AUTH_NONE, KP_AUTH_BEARER, KP_AUTH_BASIC };

// A key of a Secret or ConfigMap in the namespace of the scraped pod (for a namespaced policy: its own). name
// NULL = not set.
struct kp_key_ref {
    const char *name, *key;
    bool is_config_map;
};

struct kp_endpoint {
    const char *name;
    const char *container; // NULL: any container that has the port; with a number: the first
    const char *port_name; // or
    uint16_t port;         // number, 0 = by name
    bool https;
    const char *path; // prefix of every profile's path: "/debug/pprof"
    bool path_open;   // the policy gives none: an annotation may
    const char *tls_server_name;
    bool tls_insecure;
    struct kp_key_ref tls_ca;
    const char *tls_client_secret; // kubernetes.io/tls Secret, NULL = none
    enum kp_auth_type auth;
    struct kp_key_ref auth_secret; // Bearer: the key; Basic: Secret with username and password
    size_t n_headers;
    const struct kp_label *headers;
};

struct kp_profile_spec {
    const char *type; // "cpu"
    const char *path; // whole path; NULL = <endpoint path>/<default of the type>
    int64_t interval_ms;
    int64_t duration_ms; // collecting types only, else 0
};

struct kp_policy {
    const char *namespace; // "" = ClusterProfilingPolicy
    const char *name, *uid, *resource_version;
    const char *key; // "namespace/name", "/name" for a cluster policy
    int64_t generation;

    bool suspend;
    int32_t priority;
    const struct kp_selector *selector;
    const struct kp_selector *namespace_selector; // cluster policies; NULL = all
    enum kp_annotation_policy annotations;
    size_t n_endpoints; // 0 = the default rule
    const struct kp_endpoint *endpoints;
    size_t n_profiles; // >= 1 after defaults
    const struct kp_profile_spec *profiles;
    struct kp_int_or_percent sample_replicas;         // default 3
    int64_t rotation_ms;                              // default 1 h
    double overhead_percent;                          // default 1
    struct kp_int_or_percent concurrent_per_workload; // default 25%
    int64_t profile_bytes;                            // default 16Mi
    enum kp_on_busy on_busy;
    enum kp_service_source service_source;
    const char *service_key; // label key, or the static value
    size_t n_labels_from_pod;
    const char *const *labels_from_pod;
    const struct kp_labels *static_labels; // never NULL
    int64_t retention_ms;                  // 0 = the registry's default

    // Not acceptable: what only the controller can see. NULL = fine. Such a policy does not select anything.
    const char *reject_reason;  // CamelCase: "InvalidSpec", "PathNotAllowed", ...
    const char *reject_message; // a sentence that says what to change
    // private
    int refs;
    void *memory;
};

// Caps of the platform (the controller's configuration). They bound every policy: what is asked beyond is
// clamped or, where that makes no sense (paths), rejected. Zeroes mean the defaults written here.
struct kp_policy_caps {
    int64_t min_interval_ms;          // 10 s
    int64_t max_duration_ms;          // 60 s (cpu, fgprof); traces: 10 s
    int64_t max_profile_bytes;        // 64 MiB
    double max_overhead_percent;      // 5
    const char *const *path_prefixes; // NULL-terminated; NULL = {"/debug/", NULL}
    bool allow_host_network;
};

// Reads an object as the API server gives it. Wrong fields never crash: unknown ones are ignored, wrong ones
// set reject_reason and reject_message. KP_INVALID only where not even metadata can be read.
KP_MUST_CHECK int kp_policy_parse(
    const json_t *object, const struct kp_policy_caps *caps, struct kp_policy **ret, struct kp_error *err);
struct kp_policy *kp_policy_ref(const struct kp_policy *policy);
void kp_policy_unref(const struct kp_policy *policy); // NULL is fine
bool kp_policy_is_cluster(const struct kp_policy *policy);
// Order of precedence: priority descending, namespaced before cluster, then name (then namespace).
int kp_policy_compare(const struct kp_policy *a, const struct kp_policy *b);

#endif
