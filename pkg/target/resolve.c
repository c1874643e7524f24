// The endpoint rule, first that applies: the policy's endpoints; the pod's annotations; a container port
// named pprof, debug-pprof or http-pprof. Only dialects that say so fall back to 6060.
#include "target/resolve.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "base/banned.h"

#define DEFAULT_PATH  "/debug/pprof"
#define FALLBACK_PORT 6060

static const char *const port_names[] = {"pprof", "debug-pprof", "http-pprof"};

KP_PRINTF(3, 4)
static size_t leave_out(struct kp_match *match, enum kp_leftout reason, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    match->leftout = reason;
    vsnprintf(match->message, sizeof match->message, fmt, args);
    va_end(args);
    return 0;
}

// ---- looking around in a pod ----

static const struct kp_container *container_named(const struct kp_pod *pod, const char *name)
{
    for (size_t i = 0; i < pod->n_containers; i++)
        if (strcmp(pod->containers[i].name, name) == 0)
            return &pod->containers[i];
    return NULL;
}

static const struct kp_port *port_named(const struct kp_container *container, const char *name)
{
    for (size_t i = 0; i < container->n_ports; i++)
        if (container->ports[i].tcp && strcmp(container->ports[i].name, name) == 0)
            return &container->ports[i];
    return NULL;
}

static bool declares(const struct kp_container *container, uint16_t number)
{
    for (size_t i = 0; i < container->n_ports; i++)
        if (container->ports[i].tcp && container->ports[i].number == number)
            return true;
    return false;
}

struct wanted_port {
    const char *container; // NULL = any
    const char *name;      // NULL = by number
    uint16_t number;
};

// Which container a port belongs to. A number that nobody declares belongs to the container named, or the
// first.
static bool locate(
    const struct kp_pod *pod, const struct wanted_port *want, struct kp_found *found, struct kp_match *match)
{
    const struct kp_container *only = NULL;
    if (want->container != NULL) {
        only = container_named(pod, want->container);
        if (only == NULL) {
            leave_out(match, KP_LEFTOUT_CONTAINER_NOT_FOUND,
                "the pod has no container '%s'; name one of its containers, or leave container out",
                want->container);
            return false;
        }
    }
    for (size_t i = 0; i < pod->n_containers; i++) {
        const struct kp_container *container = only != NULL ? only : &pod->containers[i];
        const struct kp_port *port = want->name != NULL ? port_named(container, want->name) : NULL;
        if (port != NULL || (want->name == NULL && declares(container, want->number))) {
            found->container = container;
            found->port = port != NULL ? port->number : want->number;
            return true;
        }
        if (only != NULL)
            break;
    }
    if (want->name != NULL) {
        leave_out(match, KP_LEFTOUT_PORT_NOT_FOUND,
            "no container declares a TCP port named '%s'; name a declared port, or give its number",
            want->name);
        return false;
    }
    found->container = only != NULL ? only : &pod->containers[0];
    found->port = want->number;
    return true;
}

// ---- the three sources ----

// An annotation that is needed but cannot be read is not replaced by a guess.
static bool unreadable(const struct kp_pod_wishes *wishes, const char *what, struct kp_match *match)
{
    for (size_t i = 0; i < wishes->n_problems; i++) {
        if (!kp_ends_with(wishes->problems[i].key, what))
            continue;
        leave_out(match, KP_LEFTOUT_BAD_ANNOTATION, "%s", wishes->problems[i].message);
        return true;
    }
    return false;
}

// Annotations fill in what the endpoint leaves open.
static bool fill_in(const struct kp_pod *pod, const struct kp_pod_wishes *wishes,
    const struct kp_endpoint *endpoint, struct wanted_port *want, struct kp_found *found,
    struct kp_match *match)
{
    if (endpoint->path_open && unreadable(wishes, "/path", match))
        return false;
    if (endpoint->path_open && wishes->path[0] != '\0')
        found->path = wishes->path;
    if (endpoint->container == NULL && wishes->container[0] != '\0' &&
        container_named(pod, wishes->container) != NULL)
        want->container = wishes->container;
    return true;
}

static size_t from_policy(const struct kp_pod *pod, const struct kp_policy *policy,
    const struct kp_pod_wishes *wishes, struct kp_found *found, struct kp_match *match)
{
    size_t n = 0;
    for (size_t i = 0; i < policy->n_endpoints; i++) {
        const struct kp_endpoint *endpoint = &policy->endpoints[i];
        struct wanted_port want = {endpoint->container, endpoint->port_name, endpoint->port};
        found[n] = (struct kp_found){.https = endpoint->https, .path = endpoint->path, .endpoint = endpoint};
        if (fill_in(pod, wishes, endpoint, &want, &found[n], match) && locate(pod, &want, &found[n], match))
            n++;
    }
    if (n > 0)
        match->leftout = KP_LEFTOUT_NONE; // one of several may be missing on this pod
    return n;
}

static const char *or_null(const char *text)
{
    return text[0] != '\0' ? text : NULL;
}

static struct kp_found annotated(const struct kp_pod_wishes *wishes)
{
    return (struct kp_found){
        .https = wishes->https, .path = wishes->path[0] != '\0' ? wishes->path : DEFAULT_PATH};
}

static bool has_port(const struct kp_pod_wishes *wishes)
{
    return wishes->port != 0 || wishes->port_name[0] != '\0';
}

// Types that have a port of their own (one dialect gives each type its own).
static size_t from_typed_annotations(const struct kp_pod *pod, const struct kp_pod_wishes *wishes,
    struct kp_found *found, struct kp_match *match)
{
    size_t n = 0;
    for (size_t i = 0; i < wishes->n_types; i++) {
        const struct kp_annotation_type *type = &wishes->types[i];
        if (type->port == 0 && type->port_name[0] == '\0')
            continue;
        struct wanted_port want = {or_null(wishes->container), or_null(type->port_name), type->port};
        found[n] = annotated(wishes);
        found[n].only_type = type->name;
        if (locate(pod, &want, &found[n], match))
            n++;
    }
    return n;
}

static size_t from_annotations(const struct kp_pod *pod, const struct kp_pod_wishes *wishes,
    struct kp_found *found, struct kp_match *match)
{
    size_t n = from_typed_annotations(pod, wishes, found, match);
    if (n > 0 || !has_port(wishes))
        return n;
    struct wanted_port want = {or_null(wishes->container), or_null(wishes->port_name), wishes->port};
    found[0] = annotated(wishes);
    return locate(pod, &want, &found[0], match) ? 1 : 0;
}

static size_t from_port_names(
    const struct kp_pod *pod, const struct kp_pod_wishes *wishes, struct kp_found *found)
{
    size_t n = 0;
    for (size_t i = 0; i < pod->n_containers && n < KP_MAX_ENDPOINTS; i++) {
        const struct kp_container *container = &pod->containers[i];
        if (wishes->container[0] != '\0' && strcmp(wishes->container, container->name) != 0)
            continue;
        const struct kp_port *port = NULL;
        for (size_t p = 0; p < KP_COUNT(port_names) && port == NULL; p++)
            port = port_named(container, port_names[p]);
        if (port == NULL)
            continue;
        found[n] = annotated(wishes);
        found[n].container = container;
        found[n++].port = port->number;
    }
    return n;
}

static bool endpoint_unreadable(const struct kp_pod_wishes *wishes, struct kp_match *match)
{
    static const char *const needed[] = {"port", "port_name", "container", "path", "scheme"};
    for (size_t i = 0; i < KP_COUNT(needed); i++)
        if (unreadable(wishes, needed[i], match))
            return true;
    return false;
}

size_t kp_target_resolve(const struct kp_pod *pod, const struct kp_policy *policy,
    const struct kp_pod_wishes *wishes, const struct kp_target_config *config,
    struct kp_found found[KP_FOUND_MAX], struct kp_match *match)
{
    static const struct kp_pod_wishes nothing;
    (void)config;
    if (pod->n_containers == 0)
        return leave_out(match, KP_LEFTOUT_NO_ENDPOINT, "the pod has no containers");
    const struct kp_pod_wishes *heard = policy->annotations == KP_ANNOTATIONS_IGNORE ? &nothing : wishes;
    if (policy->n_endpoints > 0)
        return from_policy(pod, policy, heard, found, match);
    if (endpoint_unreadable(heard, match))
        return 0;
    size_t n = from_annotations(pod, heard, found, match);
    if (n > 0 || match->leftout != KP_LEFTOUT_NONE)
        return n;
    n = from_port_names(pod, heard, found);
    if (n > 0)
        return n;
    if (heard->fallback_port) {
        struct wanted_port want = {or_null(heard->container), NULL, FALLBACK_PORT};
        found[0] = annotated(heard);
        return locate(pod, &want, &found[0], match) ? 1 : 0;
    }
    return leave_out(match, KP_LEFTOUT_NO_ENDPOINT,
        "nothing says where pprof is: set spec.endpoints in the policy, the annotation kube-pprof.dev/port "
        "on the pod, or "
        "name a container port 'pprof'");
}
