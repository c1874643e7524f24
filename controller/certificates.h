// The registry's certificate authority and its serving certificate, kept in two Secrets of the controller's
// namespace: NAME-ca (ca.crt, ca.key, previous.crt; only the controller reads it) and NAME-tls (tls.crt,
// tls.key, ca.crt; the registry mounts it). The chart makes them, empty: who may create Secrets may have
// tokens of any ServiceAccount put into one. The leader fills, adopts, repairs and renews them (renewal.h
// says when), the others read them, since they may have something to deliver too. Keys go nowhere else: not
// into the log, not into an error.
#ifndef KP_CONTROLLER_CERTIFICATES_H
#define KP_CONTROLLER_CERTIFICATES_H

#include "aio/loop.h"
#include "base/metrics.h"
#include "controller/renewal.h"
#include "kube/client.h"

struct kp_certificates;

struct kp_certificates_options {
    struct kp_kube *kube;
    const char *namespace, *name; // of the Secrets: NAME-ca, NAME-tls
    struct kp_renewal_config renewal;
    struct kp_metrics *metrics;
    // Everybody who verifies the registry with a copy of the bundle has this one.
    bool (*published)(void *user, const char *bundle);
    // What verifies the registry from now on; borrowed.
    void (*on_bundle)(void *user, const char *bundle);
    // A certificate of the same CA to show to the registry, borrowed; NULL = none is made. It lies nowhere.
    void (*on_client)(void *user, const char *cert, const char *key);
    void *user;
    int64_t (*now_ms)(void); // NULL = the clock
    int64_t every_ms;        // the Secrets are read so often; 0 = 30 s
};

// Texts and lists in options are borrowed for its life.
struct kp_certificates *kp_certificates_create(
    struct kp_loop *loop, const struct kp_certificates_options *options);
enum kp_certificates_mode {
    KP_CERTIFICATES_STOP, // as created
    KP_CERTIFICATES_READ, // tells what others keep
    KP_CERTIFICATES_KEEP, // only while this replica leads
};
void kp_certificates_set_running(struct kp_certificates *certificates, enum kp_certificates_mode mode);
void kp_certificates_destroy(struct kp_certificates *certificates); // before the kube client

#endif
