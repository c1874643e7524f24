// Where a pod's pprof is: worked out by the rules the controller follows (pkg/target), from the pod's
// annotations and port names, and from --port, --path, --container, --scheme, which win.
#ifndef KP_CLI_ENDPOINTS_H
#define KP_CLI_ENDPOINTS_H

#include "base/array.h"
#include "cli/cli.h"
#include "cli/pods.h"
#include "target/target.h"

struct kp_endpoints {
    KP_ARRAY(struct kp_target *) items; // one reference each; what is asked of each: its n_wanted
    size_t n_left_out;                  // pods of a list that do not say where pprof is
    struct kp_policy *asked, *guessed;  // private
    bool is_named;                      // while one is looked for that is captured whatever it says
};

// Whether flags make sense, before anything is asked.
KP_MUST_CHECK int kp_endpoints_check(struct kp_cli *cli, struct kp_error *err);
// is_chosen: the pods were named, or chosen by a selector: what says nothing about pprof is tried at port
// 6060, and what cannot be is complained about. Else such pods are left out and counted.
KP_MUST_CHECK int kp_endpoints_find(struct kp_cli *cli, const struct kp_pods *pods, bool is_chosen,
    struct kp_endpoints *ret, struct kp_error *err);
// What is no pod with a known port of its own: `port` of a pod (NULL: made up from namespace and name, for
// what is reached otherwise). One reference.
KP_MUST_CHECK int kp_endpoints_make(struct kp_cli *cli, const struct kp_pod *pod, const char *namespace,
    const char *name, const char *container, int port, bool https, struct kp_target **ret,
    struct kp_error *err);
void kp_endpoints_finish(struct kp_endpoints *endpoints);

#endif
