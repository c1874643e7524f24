// What the controller's leader does for the registry beside delivering: its certificates, its APIService, the
// namespaces' ages.
#ifndef KP_CONTROLLER_REGISTRYLINK_H
#define KP_CONTROLLER_REGISTRYLINK_H

#include "aio/loop.h"
#include "base/metrics.h"
#include "kube/client.h"

// Texts are borrowed.
struct kp_registrylink_config {
    const char *service;      // of the registry; its Secrets are called SERVICE-ca and SERVICE-tls
    bool manage_certificates; // else the CA is ca_file's
    bool client_certificate;  // of the same CA, shown to the registry
    const char *ca_file;
    int64_t certificate_lifetime_ms, ca_lifetime_ms, settle_ms;
    const char *api_service_switch; // ConfigMap; NULL: APIServices are no business of ours
    bool api_service;
    int api_service_port;
    int64_t every_ms; // the registry is asked whether it is there; 0 = 5 s
};

struct kp_registrylink;
struct kp_registrylink_options {
    const struct kp_registrylink_config *config;
    struct kp_kube *kube;
    const char *namespace; // of the registry, which is our own
    void *registry;        // of kp_sink_registry_create(); closed before kp_registrylink_destroy()
    struct kp_metrics *metrics;
    bool (*may_post)(void *user);  // by the clock, asked before each post; NULL = always
    void (*on_usable)(void *user); // the registry's CA is known: deliveries may begin; once
    void (*on_back)(void *user);   // the registry answers (again), or it was started anew
    void *user;
};

struct kp_registrylink *kp_registrylink_create(
    struct kp_loop *loop, const struct kp_registrylink_options *options);
bool kp_registrylink_usable(const struct kp_registrylink *link); // see on_usable
void kp_registrylink_set_leading(struct kp_registrylink *link, bool leading);
// Leading, and all namespaces of the cluster are known.
void kp_registrylink_set_posting(struct kp_registrylink *link, bool posting);
// As kp_namespaces_set().
void kp_registrylink_set_namespace(struct kp_registrylink *link, const char *name, const char *created);
// Before the kube client goes and before the sink is closed: asks for nothing more.
void kp_registrylink_stop(struct kp_registrylink *link);
void kp_registrylink_destroy(struct kp_registrylink *link);

#endif
