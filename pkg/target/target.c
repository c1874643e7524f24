#include "target/target.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "target/build.h"
#include "target/resolve.h"
#include "base/banned.h"

void kp_verdict_finish(struct kp_verdict *verdict)
{
    for (size_t i = 0; i < verdict->targets.n; i++)
        kp_target_unref(verdict->targets.items[i]);
    kp_array_free(&verdict->targets);
    kp_array_free(&verdict->matches);
}

static bool selects(
    const struct kp_policy *policy, const struct kp_pod *pod, const struct kp_labels *namespace_labels)
{
    if (policy->suspend || policy->reject_reason != NULL)
        return false;
    if (!kp_policy_is_cluster(policy)) {
        if (strcmp(policy->namespace, pod->namespace) != 0)
            return false;
    } else if (!kp_selector_is_empty(policy->namespace_selector)) {
        if (namespace_labels == NULL || !kp_selector_matches(policy->namespace_selector, namespace_labels))
            return false;
    }
    return kp_selector_matches_fn(policy->selector, kp_pod_label_lookup, pod);
}

KP_PRINTF(3, 4)
static bool leave_out(struct kp_match *match, enum kp_leftout reason, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    match->leftout = reason;
    vsnprintf(match->message, sizeof match->message, fmt, args);
    va_end(args);
    return false;
}

static bool container_runs(const struct kp_container *container)
{
    return container->started_ms != 0;
}

// Whether the pod as a whole can be scraped now.
static bool pod_usable(const struct kp_pod *pod, enum kp_ip_claim ip_claim,
    const struct kp_target_config *config, struct kp_match *match)
{
    if (pod->phase == KP_POD_SUCCEEDED || pod->phase == KP_POD_FAILED)
        return leave_out(match, KP_LEFTOUT_FINISHED, "the pod has finished");
    if (pod->deleting)
        return leave_out(match, KP_LEFTOUT_TERMINATING, "the pod is being deleted");
    if (pod->host_network && !config->allow_host_network)
        return leave_out(match, KP_LEFTOUT_HOST_NETWORK,
            "the pod uses its node's network, which the platform does not allow to be scraped "
            "(--allow-host-network)");
    if (pod->phase != KP_POD_RUNNING)
        return leave_out(match, KP_LEFTOUT_NOT_RUNNING, "the pod does not run yet; see its events");
    if (pod->ip[0] == '\0')
        return leave_out(match, KP_LEFTOUT_NO_ADDRESS, "the pod has no address yet");
    if (ip_claim == KP_IP_OF_NODE)
        return leave_out(match, KP_LEFTOUT_ADDRESS_CONFLICT,
            "a node has the address %s, and the pod does not use its node's network; nothing is sent there",
            pod->ip);
    if (ip_claim == KP_IP_OF_POD)
        return leave_out(match, KP_LEFTOUT_ADDRESS_CONFLICT,
            "another live pod claims the address %s; nothing is sent there until one of them is gone",
            pod->ip);
    return true;
}

// The unreadable annotation of that key (NULL: any that enables).
static const struct kp_annotation_problem *enable_problem(const struct kp_pod_wishes *wishes, const char *key)
{
    for (size_t i = 0; i < wishes->n_problems; i++) {
        const char *found = wishes->problems[i].key;
        if (key != NULL ? strcmp(found, key) == 0
                        : kp_ends_with(found, "enable") || kp_ends_with(found, "scrape"))
            return &wishes->problems[i];
    }
    return NULL;
}

static bool opted(const struct kp_policy *policy, const struct kp_pod_wishes *wishes,
    const struct kp_target_config *config, struct kp_match *match)
{
    if (config->is_named)
        return true;
    // a "no" that is misspelt is not taken for a "yes"
    const struct kp_annotation_problem *doubt = enable_problem(wishes, "kube-pprof.dev/enable");
    if (doubt == NULL && policy->annotations == KP_ANNOTATIONS_REQUIRE && !wishes->opted_in)
        doubt = enable_problem(wishes, NULL);
    if (doubt != NULL)
        return leave_out(match, KP_LEFTOUT_BAD_ANNOTATION, "%s", doubt->message);
    if (wishes->opted_out)
        return leave_out(match, KP_LEFTOUT_OPTED_OUT, "the pod carries kube-pprof.dev/enable: \"false\"");
    if (policy->annotations == KP_ANNOTATIONS_REQUIRE && !wishes->opted_in)
        return leave_out(match, KP_LEFTOUT_NOT_OPTED_IN,
            "the policy wants pods to opt in: annotate the pod with kube-pprof.dev/enable: \"true\"");
    return true;
}

static bool endpoint_usable(const struct kp_pod *pod, const struct kp_found *found,
    const struct kp_target_config *config, struct kp_match *match)
{
    const struct kp_container *container = found->container;
    if (!container_runs(container))
        return leave_out(match, KP_LEFTOUT_NOT_RUNNING,
            "container '%s' does not run (restarted %u times); see `kubectl logs %s -c %s --previous`",
            container->name, container->restarts, pod->name, container->name);
    if (!pod->ready && !config->allow_not_ready)
        return leave_out(match, KP_LEFTOUT_NOT_READY,
            "the pod is not Ready, so it is left alone; see its readiness probe and events");
    return true;
}

// Whether one of the first n that are wanted is at this port: one port is one target.
static bool port_counted(const struct kp_found *found, const bool *wanted, size_t n, uint16_t port)
{
    for (size_t i = 0; i < n; i++)
        if (wanted[i] && found[i].port == port)
            return true;
    return false;
}

static void match_policy(struct kp_target_builder *builder, const struct kp_pod *pod,
    const struct kp_policy *policy, const struct kp_pod_wishes *wishes, enum kp_ip_claim ip_claim,
    const struct kp_target_config *config, struct kp_match *match)
{
    struct kp_found found[KP_FOUND_MAX];
    bool wanted[KP_FOUND_MAX] = {false};
    bool path_refused = false;
    if (!opted(policy, wishes, config, match) || !pod_usable(pod, ip_claim, config, match))
        return;
    size_t n = kp_target_resolve(pod, policy, wishes, config, found, match);
    for (size_t i = 0; i < n; i++) {
        if (!endpoint_usable(pod, &found[i], config, match))
            continue;
        wanted[i] = kp_target_builder_add(builder, policy, &found[i], config);
        if (!wanted[i])
            path_refused = true;
        else if (!port_counted(found, wanted, i, found[i].port))
            match->n_targets++;
    }
    if (match->n_targets > 0) {
        match->leftout = KP_LEFTOUT_NONE;
        match->message[0] = '\0';
    } else if (path_refused && match->leftout == KP_LEFTOUT_NONE) {
        leave_out(match, KP_LEFTOUT_PATH_NOT_ALLOWED,
            "no profile is left: the pod's types are not in the policy, or its path '%.80s' is not one the "
            "platform allows "
            "(--path-prefixes)",
            wishes->path[0] != '\0' ? wishes->path : "/debug/pprof");
    }
}

void kp_target_build(const struct kp_pod *pod, const struct kp_policy *const *policies, size_t n_policies,
    const struct kp_labels *namespace_labels, enum kp_ip_claim ip_claim,
    const struct kp_target_config *config, struct kp_verdict *ret)
{
    struct kp_target_builder *builder = NULL;
    memset(ret, 0, offsetof(struct kp_verdict, wishes));
    ret->wishes.n_types = ret->wishes.n_problems = 0;
    for (size_t i = 0; i < n_policies; i++) {
        const struct kp_policy *policy = policies[i];
        if (!selects(policy, pod, namespace_labels))
            continue;
        if (builder == NULL) {
            kp_annotations_read(pod->annotations, pod->n_annotations, config->dialects, &ret->wishes);
            builder = kp_target_builder_create(pod, &ret->wishes);
            ret->matches.cap = n_policies - i < 8 ? n_policies - i : 8; // no room for what cannot come
            ret->matches.items = kp_alloc(ret->matches.cap * sizeof *ret->matches.items);
        }
        struct kp_match *match = kp_array_add(&ret->matches);
        *match = (struct kp_match){.policy = policy};
        match_policy(builder, pod, policy, &ret->wishes, ip_claim, config, match);
    }
    if (builder != NULL)
        kp_target_builder_finish(builder, ret);
}
