#include "cli/profefe.h"

#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/selector.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "cli/fetch.h"
#include "base/banned.h"

#define MAX_PATH (64 * 1024)
#define DAY_MS   (24 * 3600 * (int64_t)1000)

bool kp_profefe_is_meant(const struct kp_error *err)
{
    return err != NULL && err->http_status == 404 && strstr(err->text, "without saying why") != NULL;
}

static const char *get(const struct kp_query *query, const char *key)
{
    for (size_t i = 0; query && i < query->items.n; i++)
        if (kp_streq(query->items.items[i].key, key))
            return query->items.items[i].value;
    return NULL;
}

static void add(struct kp_strbuf *path, const char *key, const char *value)
{
    if (!kp_cli_given(value))
        return;
    kp_strbuf_addf(path, "%c%s=", strchr(path->data, '?') ? '&' : '?', key);
    kp_strbuf_add_url(path, value);
}

// profefe reads no zone.
static int add_time(
    struct kp_strbuf *path, const char *key, const char *value, int64_t otherwise_ms, struct kp_error *err)
{
    int64_t ms = otherwise_ms;
    char text[KP_TIME_TEXT];
    int rc = kp_cli_given(value) ? kp_time_parse(value, &ms, err) : 0;
    if (rc != 0)
        return rc;
    kp_time_format(text, ms);
    text[strcspn(text, "Z")] = '\0';
    add(path, key, text);
    return 0;
}

// It decodes labels twice: as a part of the question, and each for itself.
static void add_label(struct kp_strbuf *labels, const char *key, const char *value)
{
    if (labels->len > 0)
        kp_strbuf_addc(labels, ',');
    kp_strbuf_add_url(labels, key);
    kp_strbuf_addc(labels, '=');
    kp_strbuf_add_url(labels, value);
}

// Its labels are equal or they are not: "a=b,c=d".
static int add_labels(struct kp_strbuf *path, const char *selector, struct kp_error *err)
{
    struct kp_selector *parsed = NULL;
    if (!kp_cli_given(selector))
        return 0;
    int rc = kp_selector_parse(selector, true, &parsed, err);
    if (rc != 0)
        return rc;
    size_t n;
    const struct kp_requirement *reqs = kp_selector_requirements(parsed, &n);
    kp_auto_strbuf labels;
    kp_strbuf_init(&labels, MAX_PATH);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        if (reqs[i].op != KP_SELECTOR_IN || reqs[i].n_values != 1)
            rc = kp_fail(err, KP_INVALID, "this registry is profefe's: it knows selectors with = only");
        else
            add_label(&labels, reqs[i].key, reqs[i].values[0]);
    }
    if (rc == 0)
        add(path, "labels", labels.data);
    kp_selector_destroy(parsed);
    return rc;
}

static int check_path(const struct kp_strbuf *path, struct kp_error *err)
{
    return path->overflow ? kp_fail(err, KP_LIMIT, "the question is longer than %d bytes", MAX_PATH) : 0;
}

static int find_path(const char *route, const char *service, const struct kp_query *query,
    struct kp_strbuf *path, struct kp_error *err)
{
    int64_t now = kp_now_ms();
    kp_strbuf_adds(path, route);
    add(path, "service", service);
    add(path, "type", get(query, "type"));
    add(path, "limit", get(query, "limit"));
    int rc = add_time(path, "from", get(query, "from"), now - DAY_MS, err);
    if (rc == 0)
        rc = add_time(path, "to", get(query, "to"), now + 1000, err);
    if (rc == 0)
        rc = add_labels(path, get(query, "selector"), err);
    return rc != 0 ? rc : check_path(path, err);
}

// The "body" of {"code", "body"}.
static int ask(struct kp_cli *cli, const struct kp_fetch *fetch, json_t **ret, struct kp_error *err)
{
    struct kp_fetched fetched = {0};
    int rc = kp_fetch_registry(cli, fetch, &fetched, err);
    if (rc != 0)
        return rc;
    json_t *json = json_loadb((const char *)fetched.body->data, fetched.body->len, 0, NULL);
    kp_fetched_finish(&fetched);
    json_t *body = json_object_get(json, "body");
    if (body == NULL)
        rc = kp_fail(err, KP_INVALID, "the registry's answer is neither kube-pprof's nor profefe's");
    else
        *ret = json_incref(body);
    json_decref(json);
    return rc;
}

static json_t *profile_of(const json_t *item)
{
    json_t *labels = json_object();
    size_t i;
    json_t *label;
    json_array_foreach(json_object_get(item, "labels"), i, label)
    {
        const char *key = json_string_value(json_object_get(label, "key"));
        if (key)
            json_object_set(labels, key, json_object_get(label, "value"));
    }
    json_t *ret = json_pack("{s:o}", "labels", labels);
    json_object_set(ret, "id", json_object_get(item, "id"));
    json_object_set(ret, "service", json_object_get(item, "service"));
    json_object_set(ret, "type", json_object_get(item, "type"));
    json_object_set(ret, "startTime", json_object_get(item, "created_at"));
    return ret;
}

static int add_profiles(struct kp_cli *cli, const char *service, const struct kp_query *query, json_t *items,
    struct kp_error *err)
{
    kp_auto_strbuf path;
    kp_strbuf_init(&path, MAX_PATH);
    json_t *body = NULL;
    struct kp_error one = {0};
    int rc = find_path("/api/0/profiles", service, query, &path, err);
    if (rc != 0)
        return rc;
    rc = ask(cli, &(struct kp_fetch){.path = path.data}, &body, &one);
    if (rc == KP_NOT_FOUND) // nothing of this service: profefe's way to say so
        return 0;
    if (rc != 0)
        return kp_cli_pass(err, &one);
    for (size_t i = json_array_size(body); i-- > 0;) // the newest first
        json_array_append_new(items, profile_of(json_array_get(body, i)));
    json_decref(body);
    return 0;
}

static int list_services(struct kp_cli *cli, json_t **ret, struct kp_error *err)
{
    struct kp_error one = {0};
    int rc = ask(cli, &(struct kp_fetch){.path = "/api/0/services"}, ret, &one);
    if (rc == KP_NOT_FOUND) {
        *ret = json_array();
        return 0;
    }
    return rc != 0 ? kp_cli_pass(err, &one) : 0;
}

int kp_profefe_json(
    struct kp_cli *cli, const char *what, const struct kp_query *query, json_t **ret, struct kp_error *err)
{
    bool is_profiles = kp_streq(what, "profiles");
    if (!is_profiles && !kp_streq(what, "services"))
        return kp_fail(err, KP_INVALID,
            "this registry is profefe's: it has profiles, services and sums, but no '%.40s'", what);
    json_t *services = NULL;
    json_t *items = json_array();
    const char *service = get(query, "service");
    int rc = is_profiles && service ? 0 : list_services(cli, &services, err);
    size_t i;
    json_t *name;
    if (rc == 0 && is_profiles && service)
        rc = add_profiles(cli, service, query, items, err);
    json_array_foreach(services, i, name)
    {
        if (!is_profiles)
            json_array_append_new(items, json_pack("{s:O,s:[]}", "service", name, "types"));
        else if (rc == 0)
            rc = add_profiles(cli, json_string_value(name), query, items, err);
    }
    if (rc == 0)
        *ret = json_pack("{s:O,s:s}", "items", items, "cursor", "");
    json_decref(items);
    json_decref(services);
    return rc;
}

int kp_profefe_bytes(struct kp_cli *cli, const char *what, const struct kp_query *query, struct kp_blob **ret,
    struct kp_error *err)
{
    kp_auto_strbuf path;
    kp_strbuf_init(&path, MAX_PATH);
    struct kp_fetched fetched = {0};
    int rc = 0;
    if (kp_starts_with(what, "profiles/"))
        kp_strbuf_addf(&path, "/api/0/%s", what);
    else if (kp_streq(what, "merge"))
        rc = find_path("/api/0/profiles/merge", get(query, "service"), query, &path, err);
    else
        rc = kp_fail(err, KP_INVALID,
            "this registry is profefe's: it knows no '%.40s'; merge, download and look at the file", what);
    if (rc == 0)
        rc = kp_fetch_registry(cli, &(struct kp_fetch){.path = path.data, .accept = "*/*"}, &fetched, err);
    if (rc == 0)
        *ret = kp_blob_ref(fetched.body);
    kp_fetched_finish(&fetched);
    return rc;
}

int kp_profefe_store(struct kp_cli *cli, const struct kp_query *query, const void *data, size_t len,
    char **ret_id, struct kp_error *err)
{
    static const char *const keys[] = {"service", "type", "labels"};
    kp_auto_strbuf path;
    kp_strbuf_init(&path, MAX_PATH);
    kp_strbuf_adds(&path, "/api/0/profiles");
    for (size_t i = 0; i < KP_COUNT(keys); i++)
        add(&path, keys[i], get(query, keys[i]));
    int rc = kp_cli_given(get(query, "time")) ? add_time(&path, "created_at", get(query, "time"), 0, err) : 0;
    json_t *body = NULL;
    const struct kp_fetch fetch = {.method = "POST",
        .path = path.data,
        .content_type = "application/octet-stream",
        .body = data,
        .len = len};
    if (rc == 0)
        rc = check_path(&path, err);
    if (rc == 0)
        rc = ask(cli, &fetch, &body, err);
    const char *id = json_string_value(json_object_get(body, "id"));
    if (rc == 0)
        *ret_id = kp_strdup(id ? id : "");
    json_decref(body);
    return rc;
}
