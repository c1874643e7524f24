#include "cli/ask.h"

#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/selector.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "cli/fetch.h"
#include "cli/profefe.h"
#include "base/banned.h"

#define ROOT     "/apis/data.kube-pprof.dev/v1alpha1"
#define MAX_PATH (256 * 1024)

// ---- what is asked ----

void kp_query_init(struct kp_query *query)
{
    *query = (struct kp_query){0};
}

void kp_query_finish(struct kp_query *query)
{
    for (size_t i = 0; i < query->items.n; i++) {
        kp_free(query->items.items[i].key);
        kp_free(query->items.items[i].value);
    }
    kp_array_free(&query->items);
}

void kp_query_add(struct kp_query *query, const char *key, const char *value)
{
    if (kp_cli_given(value))
        *kp_array_add(&query->items) = (struct kp_query_item){kp_strdup(key), kp_strdup(value)};
}

void kp_query_add_int(struct kp_query *query, const char *key, int64_t value)
{
    *kp_array_add(&query->items) =
        (struct kp_query_item){kp_strdup(key), kp_asprintf("%lld", (long long)value)};
}

void kp_query_add_time(struct kp_query *query, const char *key, int64_t ms)
{
    char text[KP_TIME_TEXT];
    kp_query_add(query, key, ms % 1000 ? kp_time_format_micro(text, ms) : kp_time_format(text, ms));
}

static int add_time(struct kp_query *query, const char *key, const char *value, struct kp_error *err)
{
    int64_t ms;
    if (!kp_cli_given(value))
        return 0;
    int rc = kp_time_parse_relative(value, kp_now_ms(), &ms, err);
    if (rc != 0)
        return kp_wrap(err, "--%s", key);
    kp_query_add_time(query, key, ms);
    return 0;
}

int kp_query_add_flags(struct kp_cli *cli, struct kp_query *query, struct kp_error *err)
{
    const struct kp_cli_flags *f = &cli->flags;
    kp_query_add(query, "service", f->service);
    if (f->types.n > 0)
        kp_query_add(query, "type", f->types.items[0]);
    else
        kp_query_add(query, "type", f->profile_type);
    kp_auto_free char *revision =
        kp_cli_given(f->revision) ? kp_asprintf("k8s.revision=%s", f->revision) : NULL;
    bool both = revision && kp_cli_given(f->selector);
    kp_auto_free char *selector = kp_asprintf(
        "%s%s%s", kp_cli_given(f->selector) ? f->selector : "", both ? "," : "", revision ? revision : "");
    struct kp_selector *parsed = NULL;
    int rc = kp_selector_parse(selector, true, &parsed, err);
    if (rc != 0)
        return kp_wrap(err, "--selector");
    kp_selector_destroy(parsed);
    kp_query_add(query, "selector", selector);
    rc = add_time(query, "from", f->from, err);
    return rc != 0 ? rc : add_time(query, "to", f->to, err);
}

bool kp_ask_is_direct(const struct kp_cli *cli)
{
    return kp_cli_given(cli->flags.registry) || kp_cli_given(cli->flags.profefe_hostport);
}

static void add_param(struct kp_strbuf *path, const char *key, const char *value)
{
    kp_strbuf_addc(path, strchr(path->data, '?') ? '&' : '?');
    kp_strbuf_adds(path, key);
    kp_strbuf_addc(path, '=');
    kp_strbuf_add_url(path, value);
}

static void add_params(struct kp_strbuf *path, const struct kp_query *query)
{
    for (size_t i = 0; query && i < query->items.n; i++)
        add_param(path, query->items.items[i].key, query->items.items[i].value);
}

// ---- paths ----

static void registry_path(
    const struct kp_cli *cli, const char *what, const struct kp_query *query, struct kp_strbuf *path)
{
    kp_strbuf_addf(path, "/api/v1/%s", what);
    if (kp_cli_given(cli->flags.namespace) && !cli->flags.all_namespaces)
        add_param(path, "namespace", cli->flags.namespace);
    add_params(path, query);
}

// A list of profiles has Kubernetes' names for what narrows it.
static void list_path(const char *namespace, const struct kp_query *query, struct kp_strbuf *path)
{
    kp_auto_strbuf fields;
    kp_strbuf_init(&fields, MAX_PATH);
    kp_strbuf_adds(path, ROOT);
    if (namespace)
        kp_strbuf_addf(path, "/namespaces/%s", namespace);
    kp_strbuf_adds(path, "/profiles");
    for (size_t i = 0; query && i < query->items.n; i++) {
        const struct kp_query_item *item = &query->items.items[i];
        if (kp_streq(item->key, "service") || kp_streq(item->key, "type"))
            kp_strbuf_addf(&fields, "%sspec.%s=%s", fields.len ? "," : "", item->key, item->value);
        else
            add_param(path, kp_streq(item->key, "cursor") ? "continue" : item->key, item->value);
    }
    if (fields.len > 0)
        add_param(path, "fieldSelector", fields.data);
}

static void api_path(
    const char *namespace, const char *what, const struct kp_query *query, bool bytes, struct kp_strbuf *path)
{
    if (kp_streq(what, "profiles")) {
        list_path(namespace, query, path);
        return;
    }
    bool is_one = kp_starts_with(what, "profiles/");
    kp_strbuf_addf(path, ROOT "/namespaces/%s/profiles/%s%s%s", namespace, is_one ? "" : "-/",
        is_one ? what + strlen("profiles/") : what, is_one && bytes ? "/download" : "");
    add_params(path, query);
}

// ---- answers of the aggregated API in the form of /api/v1 ----

static json_t *flat(const json_t *object)
{
    json_t *metadata = json_object_get(object, "metadata");
    json_t *spec = json_object_get(object, "spec");
    json_t *ret = json_object();
    json_object_set(ret, "id", json_object_get(metadata, "name"));
    json_object_set(ret, "namespace", json_object_get(metadata, "namespace"));
    json_object_update(ret, spec);
    json_object_update(ret, json_object_get(object, "status"));
    json_t *labels = json_object();
    json_object_update(labels, json_object_get(metadata, "labels"));
    json_object_update(labels, json_object_get(spec, "otherLabels"));
    json_object_del(ret, "otherLabels");
    json_object_set_new(ret, "labels", labels);
    return ret;
}

static json_t *flat_list(const json_t *list)
{
    json_t *items = json_array();
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(list, "items"), i, item) json_array_append_new(items, flat(item));
    const char *cursor = json_string_value(json_object_get(json_object_get(list, "metadata"), "continue"));
    return json_pack("{s:o,s:s}", "items", items, "cursor", cursor ? cursor : "");
}

// ---- asking ----

static int parse(const struct kp_fetched *fetched, json_t **ret, struct kp_error *err)
{
    json_error_t why;
    *ret = json_loadb((const char *)fetched->body->data, fetched->body->len, 0, &why);
    return *ret ? 0 : kp_fail(err, KP_INVALID, "the answer is no JSON: %s (line %d)", why.text, why.line);
}

static int check_path(const struct kp_strbuf *path, struct kp_error *err)
{
    if (path->overflow)
        return kp_fail(
            err, KP_LIMIT, "the question is longer than %d bytes: ask for less at a time", MAX_PATH);
    return 0;
}

static int ask_registry(struct kp_cli *cli, const char *what, const struct kp_query *query,
    const char *accept, struct kp_fetched *ret, struct kp_error *err)
{
    kp_auto_strbuf path;
    kp_strbuf_init(&path, MAX_PATH);
    registry_path(cli, what, query, &path);
    int rc = check_path(&path, err);
    return rc != 0
               ? rc
               : kp_fetch_registry(cli, &(struct kp_fetch){.path = path.data, .accept = accept}, ret, err);
}

// Where the API is not there at all, the server only says that it does not know the path.
static int explain_missing(const char *what, struct kp_error *err)
{
    if (err == NULL || err->http_status != 404 ||
        (strstr(err->text, "could not find the requested resource") == NULL &&
            strstr(err->text, "does not know this path") ==
                NULL)) // kp_failure_read, of an answer in plain text
        return err ? err->code : KP_NOT_FOUND;
    kp_error_clear(err);
    return kp_fail(err, KP_NOT_FOUND,
        "this cluster serves no profiles (APIService v1alpha1.data.kube-pprof.dev), so there is no %s: "
        "install kube-pprof, "
        "wait until its registry is ready, or name a registry with --registry (the way with watchNamespaces "
        "or aggregatedAPI.enabled=false)",
        what);
}

static int ask_api(struct kp_cli *cli, const char *namespace, const char *what, const struct kp_query *query,
    bool bytes, struct kp_fetched *ret, struct kp_error *err)
{
    kp_auto_strbuf path;
    kp_strbuf_init(&path, MAX_PATH);
    api_path(namespace, what, query, bytes, &path);
    const struct kp_fetch fetch = {
        .path = path.data, .accept = bytes ? "application/octet-stream, */*" : NULL};
    int rc = check_path(&path, err);
    if (rc != 0)
        return rc;
    rc = kp_fetch_api(cli, &fetch, ret, err);
    return rc == 0 ? 0 : explain_missing(what, err);
}

static int ask_api_json(struct kp_cli *cli, const char *namespace, const char *what,
    const struct kp_query *query, json_t **ret, struct kp_error *err)
{
    struct kp_fetched fetched = {0};
    json_t *json = NULL;
    int rc = ask_api(cli, namespace, what, query, false, &fetched, err);
    if (rc == 0)
        rc = parse(&fetched, &json, err);
    kp_fetched_finish(&fetched);
    if (rc != 0)
        return rc;
    bool is_list = kp_streq(what, "profiles");
    if (!is_list && !kp_starts_with(what, "profiles/")) {
        *ret = json;
        return 0;
    }
    *ret = is_list ? flat_list(json) : flat(json);
    json_decref(json);
    return 0;
}

// Lists of all namespaces, one after the other.
static int ask_each_namespace(
    struct kp_cli *cli, const char *what, const struct kp_query *query, json_t **ret, struct kp_error *err)
{
    if (!kp_streq(what, "services") && !kp_streq(what, "targets"))
        return kp_cli_usage(cli, err,
            "a sum over all namespaces is given by the registry itself only: use -n, or --registry");
    json_t *namespaces = NULL;
    int rc = kp_session_json(cli, "GET", "/api/v1/namespaces", NULL, &namespaces, err);
    if (rc != 0)
        return rc;
    json_t *items = json_array();
    size_t i;
    json_t *namespace;
    json_array_foreach(json_object_get(namespaces, "items"), i, namespace)
    {
        const char *name = json_string_value(json_object_get(json_object_get(namespace, "metadata"), "name"));
        struct kp_error one = {0};
        json_t *answer = NULL;
        rc = name ? ask_api_json(cli, name, what, query, &answer, &one) : KP_INVALID;
        if (rc == 0)
            json_array_extend(items, json_object_get(answer, "items"));
        json_decref(answer);
        if (rc == KP_CANCELED || (rc == KP_NOT_FOUND && one.http_status == 0)) {
            kp_cli_pass(err, &one);
            break;
        }
        if (rc != 0)
            kp_cli_note(cli, "%s", one.text);
        rc = 0;
    }
    json_decref(namespaces);
    if (rc == 0)
        *ret = json_pack("{s:o,s:s}", "items", json_incref(items), "cursor", "");
    json_decref(items);
    return rc;
}

int kp_ask_json(
    struct kp_cli *cli, const char *what, const struct kp_query *query, json_t **ret, struct kp_error *err)
{
    if (kp_ask_is_direct(cli)) {
        struct kp_fetched fetched = {0};
        int rc = ask_registry(cli, what, query, NULL, &fetched, err);
        if (rc == 0)
            rc = parse(&fetched, ret, err);
        kp_fetched_finish(&fetched);
        if (rc != 0 && kp_profefe_is_meant(err)) {
            kp_error_clear(err);
            rc = kp_profefe_json(cli, what, query, ret, err);
        }
        return rc;
    }
    int rc = kp_session_connect(cli, err);
    if (rc != 0)
        return rc;
    if (!cli->flags.all_namespaces)
        return ask_api_json(cli, kp_session_namespace(cli), what, query, ret, err);
    if (kp_streq(what, "profiles"))
        return ask_api_json(cli, NULL, what, query, ret, err);
    return ask_each_namespace(cli, what, query, ret, err);
}

int kp_ask_bytes(struct kp_cli *cli, const char *what, const struct kp_query *query, struct kp_blob **ret,
    struct kp_error *err)
{
    struct kp_fetched fetched = {0};
    int rc;
    if (kp_ask_is_direct(cli)) {
        rc = ask_registry(cli, what, query, "*/*", &fetched, err);
        if (rc != 0 && kp_profefe_is_meant(err)) {
            kp_error_clear(err);
            return kp_profefe_bytes(cli, what, query, ret, err);
        }
    } else {
        if (cli->flags.all_namespaces)
            return kp_cli_usage(cli, err,
                "a sum over all namespaces is given by the registry itself only: use -n, or --registry");
        rc = kp_session_connect(cli, err);
        if (rc == 0)
            rc = ask_api(cli, kp_session_namespace(cli), what, query, true, &fetched, err);
    }
    if (rc == 0)
        *ret = kp_blob_ref(fetched.body);
    kp_fetched_finish(&fetched);
    return rc;
}

int kp_ask_store(struct kp_cli *cli, const char *namespace, const struct kp_query *query, const void *data,
    size_t len, char **ret_id, struct kp_error *err)
{
    kp_auto_strbuf path;
    kp_strbuf_init(&path, MAX_PATH);
    struct kp_fetch fetch = {
        .method = "POST", .content_type = "application/octet-stream", .body = data, .len = len};
    struct kp_fetched fetched = {0};
    int rc = 0;
    if (kp_ask_is_direct(cli)) {
        registry_path(cli, "profiles", query, &path);
        fetch.path = path.data;
        rc = check_path(&path, err);
        if (rc == 0)
            rc = kp_fetch_registry(cli, &fetch, &fetched, err);
        if (rc != 0 && kp_profefe_is_meant(err)) {
            kp_error_clear(err);
            return kp_profefe_store(cli, query, data, len, ret_id, err);
        }
    } else {
        rc = kp_session_connect(cli, err);
        if (rc != 0)
            return rc;
        kp_strbuf_addf(
            &path, ROOT "/namespaces/%s/profiles", namespace ? namespace : kp_session_namespace(cli));
        add_params(&path, query);
        fetch.path = path.data;
        rc = check_path(&path, err);
        if (rc != 0)
            return rc;
        rc = kp_fetch_api(cli, &fetch, &fetched, err);
        if (rc != 0)
            rc = explain_missing("place to store", err);
    }
    json_t *json = NULL;
    if (rc == 0)
        rc = parse(&fetched, &json, err);
    kp_fetched_finish(&fetched);
    const char *id = json_string_value(json_object_get(json, "id"));
    if (rc == 0)
        *ret_id = kp_strdup(id ? id : "");
    json_decref(json);
    return rc;
}
