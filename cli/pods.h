// Pods as people name them: POD, pod/NAME, deploy/NAME and the like, -l SELECTOR, -A. Blocking.
#ifndef KP_CLI_PODS_H
#define KP_CLI_PODS_H

#include "base/array.h"
#include "cli/session.h"
#include "record/pod.h"

// At most so many pods are taken; a list may be of any length.
#define KP_PODS_MAX 20000

struct kp_pods {
    KP_ARRAY(const struct kp_pod *) items; // one reference each, sorted by namespace and name
    size_t n_seen;                         // looked at, whether taken or not
};

// args are names; with none of them --selector or -A says which (a usage error if neither does). A name that
// is not there is complained about (kp_cli_complain), the others are taken. KP_NOT_FOUND when nothing was
// named wrongly and yet nothing is left.
KP_MUST_CHECK int kp_pods_find(struct kp_cli *cli, struct kp_pods *ret, struct kp_error *err);
// All pods of a namespace (NULL = of all), those for which `keep` is true.
KP_MUST_CHECK int kp_pods_list(struct kp_cli *cli, const char *namespace, const char *selector,
    bool (*keep)(void *user, const struct kp_pod *pod), void *user, struct kp_pods *pods,
    struct kp_error *err);
void kp_pods_finish(struct kp_pods *pods);

#endif
