#include "cli/endpoints.h"

#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/text.h"
#include "policy/types.h"
#include "base/banned.h"

#define FALLBACK_PORT 6060
#define HOUR_MS       (3600 * (int64_t)1000)

// The types asked for: --type, else cpu.
static size_t n_types(const struct kp_cli *cli)
{
    return cli->flags.types.n ? cli->flags.types.n : 1;
}

static const char *type_at(const struct kp_cli *cli, size_t i)
{
    return cli->flags.types.n ? cli->flags.types.items[i] : "cpu";
}

// ---- what is asked for, as a policy ----

static int add_types(struct kp_cli *cli, json_t *spec, struct kp_error *err)
{
    json_t *profiles = json_array();
    json_object_set_new(spec, "profiles", profiles);
    if (n_types(cli) > KP_MAX_PROFILES)
        return kp_cli_usage(cli, err, "--type: more than %d types", KP_MAX_PROFILES);
    for (size_t i = 0; i < n_types(cli); i++) {
        const char *type = type_at(cli, i);
        if (!kp_profile_type_name_valid(type))
            return kp_cli_usage(cli, err, "--type: '%.60s' is no name of a profile", type);
        json_t *profile = json_pack("{s:s,s:s}", "type", type, "interval", "2h");
        if (kp_profile_type(type) == NULL) { // programs serve their own profiles beside Go's
            const char *base = kp_cli_given(cli->flags.path) ? cli->flags.path : "/debug/pprof";
            kp_auto_free char *path = kp_asprintf("%s/%s", base, type);
            json_object_set_new(profile, "path", json_string(path));
        }
        json_array_append_new(profiles, profile);
    }
    return 0;
}

static void add_endpoint(const struct kp_cli *cli, json_t *spec, int fallback_port, bool https)
{
    const struct kp_cli_flags *f = &cli->flags;
    json_t *endpoint = json_pack("{s:s}", "name", "asked");
    int64_t number;
    if (!kp_cli_given(f->port))
        json_object_set_new(endpoint, "port", json_integer(fallback_port));
    else if (kp_parse_int(f->port, 1, 65535, &number, NULL) == 0)
        json_object_set_new(endpoint, "port", json_integer(number));
    else
        json_object_set_new(endpoint, "port", json_string(f->port));
    if (kp_cli_given(f->container))
        json_object_set_new(endpoint, "container", json_string(f->container));
    if (kp_cli_given(f->path))
        json_object_set_new(endpoint, "path", json_string(f->path));
    bool wants_tls = https || kp_streq(f->scheme, "https");
    if (kp_cli_given(f->scheme) || https)
        json_object_set_new(endpoint, "scheme", json_string(wants_tls ? "HTTPS" : "HTTP"));
    json_object_set_new(spec, "endpoints", json_pack("[o]", endpoint));
}

static int make_policy(struct kp_cli *cli, int port, bool https, struct kp_policy **ret, struct kp_error *err)
{
    static const char *const anywhere[] = {"/", NULL};
    const struct kp_policy_caps caps = {.min_interval_ms = 1000,
        .max_duration_ms = HOUR_MS,
        .max_profile_bytes = KP_MAX_PROFILE_BYTES,
        .max_overhead_percent = 100,
        .path_prefixes = anywhere,
        .allow_host_network = true};
    json_t *spec = json_pack("{s:{}}", "selector");
    json_t *object = json_pack("{s:s,s:s,s:{s:s,s:s},s:o}", "apiVersion", KP_API_VERSION, "kind",
        "ClusterProfilingPolicy", "metadata", "name", "capture", "uid", "capture", "spec", spec);
    int rc = add_types(cli, spec, err);
    if (rc == 0 && port != 0)
        add_endpoint(cli, spec, port, https);
    if (rc == 0)
        rc = kp_policy_parse(object, &caps, ret, err);
    json_decref(object);
    if (rc == 0 && (*ret)->reject_message != NULL)
        rc = kp_cli_usage(cli, err, "%s", (*ret)->reject_message);
    return rc;
}

int kp_endpoints_check(struct kp_cli *cli, struct kp_error *err)
{
    struct kp_policy *policy = NULL;
    const char *port = cli->flags.port;
    if (kp_cli_given(port) && strspn(port, "0123456789-") == strlen(port) &&
        kp_parse_int(port, 1, 65535, &(int64_t){0}, NULL) != 0)
        return kp_cli_usage(cli, err, "--port: '%.60s' is no port", port);
    int rc = make_policy(cli, FALLBACK_PORT, false, &policy, err);
    kp_policy_unref(policy);
    return rc;
}

// ---- one pod ----

static bool add(
    struct kp_endpoints *e, const struct kp_pod *pod, const struct kp_policy *policy, struct kp_match *ret)
{
    static const char *const anywhere[] = {"/", NULL};
    const struct kp_target_config config = {
        .dialects = KP_DIALECTS_DEFAULT | KP_DIALECT_GRAFANA | KP_DIALECT_PYROSCOPE | KP_DIALECT_COROOT,
        .allow_host_network = true,
        .path_prefixes = anywhere,
        .allow_not_ready = true,
        .is_named = e->is_named};
    struct kp_verdict verdict = {0};
    kp_target_build(pod, &policy, 1, NULL, KP_IP_OWN, &config, &verdict);
    *ret =
        verdict.matches.n ? verdict.matches.items[0] : (struct kp_match){.leftout = KP_LEFTOUT_NO_ENDPOINT};
    for (size_t i = 0; i < verdict.targets.n; i++)
        *kp_array_add(&e->items) = kp_target_ref(verdict.targets.items[i]);
    bool found = verdict.targets.n > 0;
    kp_verdict_finish(&verdict);
    return found;
}

static bool is_silent(enum kp_leftout reason)
{
    return reason == KP_LEFTOUT_NO_ENDPOINT || reason == KP_LEFTOUT_NOT_OPTED_IN;
}

// The port the pod itself names, where only path, container or scheme were asked for.
static int own_port(struct kp_endpoints *e, const struct kp_pod *pod, struct kp_match *match)
{
    int port = FALLBACK_PORT;
    size_t before = e->items.n;
    if (add(e, pod, e->asked, match))
        port = e->items.items[before]->port;
    while (e->items.n > before)
        kp_target_unref(e->items.items[--e->items.n]);
    return port;
}

static int add_with_own_port(struct kp_cli *cli, struct kp_endpoints *e, const struct kp_pod *pod,
    struct kp_match *match, struct kp_error *err)
{
    struct kp_policy *policy = NULL;
    int rc = make_policy(cli, own_port(e, pod, match), false, &policy, err);
    if (rc == 0)
        add(e, pod, policy, match);
    kp_policy_unref(policy); // targets hold their own reference
    return rc;
}

static int find_as_asked(struct kp_cli *cli, const struct kp_pod *pod, bool is_chosen, struct kp_endpoints *e,
    struct kp_match *match, struct kp_error *err)
{
    const struct kp_cli_flags *f = &cli->flags;
    if (kp_cli_given(f->port))
        add(e, pod, e->guessed, match);
    else if (kp_cli_given(f->container) || kp_cli_given(f->path) || kp_cli_given(f->scheme))
        return add_with_own_port(cli, e, pod, match, err);
    else if (!add(e, pod, e->asked, match) && is_chosen && is_silent(match->leftout))
        add(e, pod, e->guessed, match);
    return 0;
}

// A pod that says "no", or what cannot be read, is captured nevertheless where it was named.
static int find_one(struct kp_cli *cli, const struct kp_pod *pod, bool is_chosen, struct kp_endpoints *e,
    struct kp_error *err)
{
    struct kp_match match = {0};
    struct kp_match again = {0};
    size_t before = e->items.n;
    int rc = find_as_asked(cli, pod, is_chosen, e, &match, err);
    bool is_told_not_to = match.leftout == KP_LEFTOUT_OPTED_OUT || match.leftout == KP_LEFTOUT_BAD_ANNOTATION;
    if (rc == 0 && e->items.n == before && is_told_not_to &&
        (cli->n_args > 0 || kp_cli_given(cli->flags.selector))) {
        e->is_named = true;
        rc = find_as_asked(cli, pod, is_chosen, e, &again, err);
        e->is_named = false;
        if (e->items.n > before)
            kp_cli_note(cli, "%s/%s: %s; it is captured because you asked for it", pod->namespace, pod->name,
                match.message);
    }
    if (rc != 0 || e->items.n > before)
        return rc;
    if (!is_chosen) {
        e->n_left_out++;
        return 0;
    }
    struct kp_error why = {0};
    kp_fail(&why, KP_NOT_FOUND, "%s/%s: %s", pod->namespace, pod->name,
        match.message[0] ? match.message : kp_leftout_info(match.leftout)->name);
    kp_cli_complain(cli, &why);
    return 0;
}

int kp_endpoints_find(struct kp_cli *cli, const struct kp_pods *pods, bool is_chosen,
    struct kp_endpoints *ret, struct kp_error *err)
{
    *ret = (struct kp_endpoints){0};
    int rc = make_policy(cli, 0, false, &ret->asked, err);
    if (rc == 0)
        rc = make_policy(cli, FALLBACK_PORT, false, &ret->guessed, err);
    for (size_t i = 0; rc == 0 && i < pods->items.n; i++)
        rc = find_one(cli, pods->items.items[i], is_chosen, ret, err);
    if (rc != 0)
        kp_endpoints_finish(ret);
    return rc;
}

int kp_endpoints_make(struct kp_cli *cli, const struct kp_pod *pod, const char *namespace, const char *name,
    const char *container, int port, bool https, struct kp_target **ret, struct kp_error *err)
{
    struct kp_policy *policy = NULL;
    int rc = make_policy(cli, port, https, &policy, err);
    if (rc != 0)
        return rc;
    const struct kp_container made = {
        .name = container, .image = "", .image_id = "", .container_id = "", .started_ms = 1, .ready = true};
    const struct kp_pod draft = {.namespace = namespace,
        .name = name,
        .uid = name,
        .resource_version = "",
        .node = "",
        .ip = "192.0.2.1", // never used: a documentation address
        .host_ip = "",
        .owner_kind = "",
        .owner_name = "",
        .phase = KP_POD_RUNNING,
        .ready = true,
        .n_containers = 1,
        .containers = &made};
    struct kp_pod *own = pod ? NULL : kp_pod_build(&draft);
    struct kp_endpoints found = {0};
    struct kp_match match = {0};
    if (add(&found, pod ? pod : own, policy, &match))
        *ret = kp_target_ref(found.items.items[0]);
    else
        rc = kp_fail(err, KP_NOT_FOUND, "%s/%s: %s", namespace, name, match.message);
    kp_endpoints_finish(&found);
    kp_pod_unref(own);
    kp_policy_unref(policy);
    return rc;
}

void kp_endpoints_finish(struct kp_endpoints *endpoints)
{
    for (size_t i = 0; i < endpoints->items.n; i++)
        kp_target_unref(endpoints->items.items[i]);
    kp_array_free(&endpoints->items);
    kp_policy_unref(endpoints->asked);
    kp_policy_unref(endpoints->guessed);
    endpoints->asked = endpoints->guessed = NULL;
}
