// What there is: for the API server and for kubectl. Constant documents, the same for everybody.
#include <inttypes.h>
#include <string.h>

#include "api/aggregated.h"
#include "base/alloc.h"
#include "base/hash.h"
#include "base/text.h"
#include "base/banned.h"

#define DISCOVERY_TYPE "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
#define SCHEMA_PATH    "/openapi/v3" KP_AGG_ROOT
#define MAX_DOCUMENT   ((size_t)1 << 20)

// No watch: then the garbage collector would watch all profiles of the cluster.
static const char verbs[] = "create,delete,deletecollection,get,list";
static const char *const subresources[] = {"diff", "download", "flamegraph", "labels", "merge", "peers",
    "pgo", "series", "services", "targets", "top"};

// ---- documents ----

static void group_kind(struct kp_json *j, const char *key)
{
    kp_json_open(j, key, '{');
    kp_json_text(j, "group", KP_AGG_GROUP);
    kp_json_text(j, "version", KP_AGG_VERSION);
    kp_json_text(j, "kind", "Profile");
    kp_json_close(j, '}');
}

static void write_resources(struct kp_json *j)
{
    kp_json_open(j, NULL, '{');
    kp_json_text(j, "kind", "APIResourceList");
    kp_json_text(j, "apiVersion", "v1");
    kp_json_text(j, "groupVersion", KP_AGG_API_VERSION);
    kp_json_open(j, "resources", '[');
    for (size_t i = 0; i <= KP_COUNT(subresources); i++) {
        kp_auto_free char *name =
            i == 0 ? kp_strdup("profiles") : kp_asprintf("profiles/%s", subresources[i - 1]);
        kp_json_open(j, NULL, '{');
        kp_json_text(j, "name", name);
        kp_json_text(j, "singularName", i == 0 ? "profile" : "");
        kp_json_bool(j, "namespaced", true);
        kp_json_text(j, "kind", "Profile");
        kp_json_words(j, "verbs", i == 0 ? verbs : "get");
        if (i == 0) {
            kp_json_words(j, "shortNames", "prof");
            kp_json_words(j, "categories", "kube-pprof");
        }
        kp_json_close(j, '}');
    }
    kp_json_close(j, ']');
    kp_json_close(j, '}');
}

static void write_discovered_resource(struct kp_json *j)
{
    kp_json_open(j, NULL, '{');
    kp_json_text(j, "resource", "profiles");
    group_kind(j, "responseKind");
    kp_json_text(j, "scope", "Namespaced");
    kp_json_text(j, "singularResource", "profile");
    kp_json_words(j, "verbs", verbs);
    kp_json_words(j, "shortNames", "prof");
    kp_json_words(j, "categories", "kube-pprof");
    kp_json_open(j, "subresources", '[');
    for (size_t i = 0; i < KP_COUNT(subresources); i++) {
        kp_json_open(j, NULL, '{');
        kp_json_text(j, "subresource", subresources[i]);
        group_kind(j, "responseKind");
        kp_json_words(j, "verbs", "get");
        kp_json_close(j, '}');
    }
    kp_json_close(j, ']');
    kp_json_close(j, '}');
}

static void write_discovery(struct kp_json *j)
{
    kp_json_open(j, NULL, '{');
    kp_json_text(j, "kind", "APIGroupDiscoveryList");
    kp_json_text(j, "apiVersion", "apidiscovery.k8s.io/v2");
    kp_json_open(j, "metadata", '{');
    kp_json_close(j, '}');
    kp_json_open(j, "items", '[');
    kp_json_open(j, NULL, '{');
    kp_json_open(j, "metadata", '{');
    kp_json_text(j, "name", KP_AGG_GROUP);
    kp_json_close(j, '}');
    kp_json_open(j, "versions", '[');
    kp_json_open(j, NULL, '{');
    kp_json_text(j, "version", KP_AGG_VERSION);
    kp_json_text(j, "freshness", "Current");
    kp_json_open(j, "resources", '[');
    write_discovered_resource(j);
    kp_json_close(j, ']');
    kp_json_close(j, '}');
    kp_json_close(j, ']');
    kp_json_close(j, '}');
    kp_json_close(j, ']');
    kp_json_close(j, '}');
}

static void write_info(struct kp_json *j)
{
    kp_json_open(j, "info", '{');
    kp_json_text(j, "title", "kube-pprof");
    kp_json_text(j, "version", KP_AGG_VERSION);
    kp_json_close(j, '}');
}

static void write_swagger(struct kp_json *j)
{
    static const char *const empty[] = {"paths", "definitions"};
    kp_json_open(j, NULL, '{');
    kp_json_text(j, "swagger", "2.0");
    write_info(j);
    for (size_t i = 0; i < KP_COUNT(empty); i++) {
        kp_json_open(j, empty[i], '{');
        kp_json_close(j, '}');
    }
    kp_json_close(j, '}');
}

// ---- schema ----

// kubectl explain finds the schema by the group, version and kind of a path.
static void write_path(struct kp_json *j)
{
    kp_json_open(j, "paths", '{');
    kp_json_open(j, KP_AGG_ROOT "/namespaces/{namespace}/profiles", '{');
    kp_json_open(j, "get", '{');
    kp_json_text(j, "x-kubernetes-action", "list");
    group_kind(j, "x-kubernetes-group-version-kind");
    kp_json_open(j, "responses", '{');
    kp_json_open(j, "200", '{');
    kp_json_text(j, "description", "OK");
    kp_json_close(j, '}');
    kp_json_close(j, '}');
    kp_json_close(j, '}');
    kp_json_close(j, '}');
    kp_json_close(j, '}');
}

static void write_text_property(struct kp_json *j, const char *name, const char *about)
{
    kp_json_open(j, name, '{');
    kp_json_text(j, "description", about);
    kp_json_text(j, "type", "string");
    kp_json_close(j, '}');
}

static void write_section(struct kp_json *j, const char *name, const char *about)
{
    kp_json_open(j, name, '{');
    kp_json_text(j, "description", about);
    kp_json_text(j, "type", "object");
    kp_agg_schema(j, name);
    kp_json_close(j, '}');
}

static void write_metadata(struct kp_json *j)
{
    kp_json_open(j, "metadata", '{');
    kp_json_text(j, "description", "As of every object. Labels are those the policy asked for.");
    kp_json_text(j, "type", "object");
    kp_json_open(j, "properties", '{');
    write_text_property(j, "name", "Id of the profile.");
    write_text_property(j, "namespace", "Namespace of the pod.");
    write_text_property(j, "uid", "Follows from the name.");
    write_text_property(j, "creationTimestamp", "When the registry made it durable.");
    kp_json_open(j, "labels", '{');
    kp_json_text(j, "description",
        "Labels of the profile. Selectors (-l) know k8s.pod, k8s.container, k8s.node, k8s.workload, "
        "k8s.revision "
        "and version as well.");
    kp_json_text(j, "type", "object");
    kp_json_open(j, "additionalProperties", '{');
    kp_json_text(j, "type", "string");
    kp_json_close(j, '}');
    kp_json_close(j, '}');
    kp_json_close(j, '}');
    kp_json_close(j, '}');
}

static void write_kind(struct kp_json *j)
{
    kp_json_open(j, "dev.kube-pprof.data.v1alpha1.Profile", '{');
    kp_json_text(j, "description",
        "A stored profile. Its bytes are at .../profiles/NAME/download; sums of many at "
        ".../profiles/-/merge, "
        "/top, /flamegraph, /diff, /series, /peers, /pgo (kubectl get --raw).");
    kp_json_text(j, "type", "object");
    kp_json_open(j, "properties", '{');
    write_text_property(j, "apiVersion", "Version of this form of the object.");
    write_text_property(j, "kind", "Profile.");
    write_metadata(j);
    write_section(j, "spec", "What was captured, where and when.");
    write_section(j, "status", "What became of it.");
    kp_json_close(j, '}');
    kp_json_open(j, "x-kubernetes-group-version-kind", '[');
    group_kind(j, NULL);
    kp_json_close(j, ']');
    kp_json_close(j, '}');
}

static void write_schema(struct kp_json *j)
{
    kp_json_open(j, NULL, '{');
    kp_json_text(j, "openapi", "3.0.0");
    write_info(j);
    write_path(j);
    kp_json_open(j, "components", '{');
    kp_json_open(j, "schemas", '{');
    write_kind(j);
    kp_json_close(j, '}');
    kp_json_close(j, '}');
    kp_json_close(j, '}');
}

static uint64_t hash_of(void (*write)(struct kp_json *j))
{
    kp_auto_strbuf out;
    kp_strbuf_init(&out, MAX_DOCUMENT);
    write(&(struct kp_json){.out = &out});
    return kp_hash64(out.data, out.len, 0);
}

static void write_versions(struct kp_json *j)
{
    kp_auto_free char *url = kp_asprintf("%s?hash=%016" PRIX64, SCHEMA_PATH, hash_of(write_schema));
    kp_json_open(j, NULL, '{');
    kp_json_open(j, "paths", '{');
    kp_json_open(j, &KP_AGG_ROOT[1], '{');
    kp_json_text(j, "serverRelativeURL", url);
    kp_json_close(j, '}');
    kp_json_close(j, '}');
    kp_json_close(j, '}');
}

// ---- answers ----

static void reply(struct kp_http_exchange *x, void (*write)(struct kp_json *j), const char *type)
{
    kp_auto_strbuf out;
    const char *known = kp_http_header(x, "If-None-Match");
    if (!kp_agg_path_is_strict(kp_http_path(x))) {
        kp_api_agg_nothing(x, NULL);
        return;
    }
    kp_strbuf_init(&out, MAX_DOCUMENT);
    write(&(struct kp_json){.out = &out});
    kp_auto_free char *etag = kp_asprintf("\"%016" PRIX64 "\"", kp_hash64(out.data, out.len, 0));
    kp_http_set_header(x, "ETag", etag);
    kp_http_set_header(x, "Vary", "Accept");
    if (known && (kp_streq(known, "*") || strstr(known, etag)))
        kp_http_reply(x, 304, NULL, NULL);
    else
        kp_http_reply_text(x, 200, type, out.data);
}

// To anybody else this is the API server's to answer.
void kp_api_agg_root(struct kp_http_exchange *x, void *user)
{
    if (kp_agg_wants_discovery(kp_http_header(x, "Accept")))
        reply(x, write_discovery, DISCOVERY_TYPE);
    else
        kp_api_agg_nothing(x, user);
}

void kp_api_agg_resources(struct kp_http_exchange *x, void *user)
{
    (void)user;
    reply(x, write_resources, "application/json");
}

void kp_api_agg_openapi_v2(struct kp_http_exchange *x, void *user)
{
    (void)user;
    reply(x, write_swagger, "application/json");
}

void kp_api_agg_openapi_v3(struct kp_http_exchange *x, void *user)
{
    (void)user;
    reply(x, write_versions, "application/json");
}

void kp_api_agg_schema(struct kp_http_exchange *x, void *user)
{
    (void)user;
    reply(x, write_schema, "application/json");
}

void kp_api_agg_nothing(struct kp_http_exchange *x, void *user)
{
    (void)user;
    kp_http_reply_status(x, 404, "NotFound", "the server could not find the requested resource");
}
