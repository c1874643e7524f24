// Reading a running profefe: its services, their profiles, one after the other.
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "aio/http.h"
#include "aio/loop.h"
#include "base/alloc.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "controller/registry_tools.h"
#include "base/banned.h"

#define MAX_LIST   ((size_t)512 * KP_MIB)
#define TIMEOUT_MS 120000

struct source {
    const char *url;
    struct kp_loop *loop;
    struct kp_http *http;
    struct kp_intake *intake;
};

struct fetched {
    bool done;
    int status;
    struct kp_blob *body;
    struct kp_error error;
};

static void on_done(void *user, const struct kp_http_result *result)
{
    struct fetched *f = user;
    f->done = true;
    f->status = result->status;
    if (result->code != 0)
        f->error = result->error;
    else if (result->body)
        f->body = kp_blob_ref(result->body);
}

// 0 with the body, or with NULL for 404.
static int fetch(struct source *s, const char *path, size_t max, struct kp_blob **ret, struct kp_error *err)
{
    struct fetched f = {0};
    struct kp_http_call *call;
    size_t len = strlen(s->url);
    while (len > 0 && s->url[len - 1] == '/')
        len--;
    kp_auto_free char *url = kp_asprintf("%.*s%s", (int)len, s->url, path);
    const struct kp_http_request request = {.method = "GET",
        .url = url,
        .timeout_ms = TIMEOUT_MS,
        .max_body = max,
        .on_done = on_done,
        .user = &f};
    *ret = NULL;
    if (kp_http_start(s->http, &request, &call, err) != 0)
        return err->code;
    kp_loop_run_until(s->loop, &f.done, TIMEOUT_MS + 5000);
    int rc = f.error.code != 0                    ? kp_fail(err, f.error.code, "%s", f.error.text)
             : f.status != 200 && f.status != 404 ? kp_fail(err, KP_NETWORK, "'%s' answers %d", url, f.status)
             : f.status == 200 && f.body == NULL  ? kp_fail(err, KP_NETWORK, "'%s' answers nothing", url)
                                                  : 0;
    if (rc == 0 && f.status == 200)
        *ret = kp_blob_ref(f.body);
    kp_blob_unref(f.body);
    return rc;
}

// The member body of the answer as an array, or NULL for 404. decref the root.
static int fetch_list(
    struct source *s, const char *path, json_t **ret_root, json_t **ret_list, struct kp_error *err)
{
    struct kp_blob *body;
    json_error_t why;
    *ret_root = *ret_list = NULL;
    int rc = fetch(s, path, MAX_LIST, &body, err);
    if (rc != 0 || body == NULL)
        return rc;
    *ret_root = json_loadb((const char *)body->data, body->len, 0, &why);
    *ret_list = json_object_get(*ret_root, "body");
    kp_blob_unref(body);
    if (json_is_array(*ret_list))
        return 0;
    json_decref(*ret_root);
    *ret_root = NULL;
    return kp_fail(err, KP_INVALID, "'%s%s' does not answer like profefe", s->url, path);
}

static void add_label(struct kp_label **labels, size_t *n, const char *key, const char *value)
{
    for (size_t i = 0; i < *n; i++) {
        if (!kp_streq((*labels)[i].key, key))
            continue;
        char *joined = kp_asprintf("%s" KP_LABEL_JOIN "%s", (*labels)[i].value, value);
        kp_free((char *)(uintptr_t)(*labels)[i].value);
        (*labels)[i].value = joined;
        return;
    }
    *labels = kp_grow(*labels, *n + 1, sizeof **labels);
    (*labels)[(*n)++] = (struct kp_label){key, kp_strdup(value)};
}

static struct kp_labels *read_labels(const json_t *list)
{
    struct kp_label *labels = NULL;
    size_t n = 0;
    for (size_t i = 0; i < json_array_size(list) && i < KP_MAX_LABELS; i++) {
        const json_t *item = json_array_get(list, i);
        const char *key = json_string_value(json_object_get(item, "key"));
        const char *value = json_string_value(json_object_get(item, "value"));
        if (key && value)
            add_label(&labels, &n, key, value);
    }
    struct kp_labels *set = kp_labels_create(labels, n);
    for (size_t i = 0; i < n; i++)
        kp_free((char *)(uintptr_t)labels[i].value);
    kp_free(labels);
    return set;
}

static int import_one(struct source *s, const json_t *item, struct kp_error *err)
{
    const char *id = json_string_value(json_object_get(item, "id"));
    const char *created = json_string_value(json_object_get(item, "created_at"));
    const char *type = json_string_value(json_object_get(item, "type"));
    struct kp_blob *body;
    struct kp_strbuf path;
    struct kp_record r;
    int64_t created_ms = 0;
    if (id == NULL || type == NULL || created == NULL || kp_time_parse(created, &created_ms, err) != 0)
        return kp_fail(err, KP_INVALID, "a profile is described without id, type or created_at");
    kp_strbuf_init(&path, 4096);
    kp_strbuf_adds(&path, "/api/0/profiles/");
    kp_strbuf_add_url(&path, id);
    int rc = fetch(s, path.data, KP_MAX_PROFILE_BYTES, &body, err);
    kp_strbuf_finish(&path);
    if (rc != 0 || body == NULL) // gone meanwhile
        return rc;
    kp_record_init(&r);
    r.service = kp_strdup(json_string_value(json_object_get(item, "service")));
    r.type = kp_strdup(type);
    r.format = kp_strdup(kp_streq(type, "trace") ? "trace" : "pprof");
    r.labels = read_labels(json_object_get(item, "labels"));
    rc = kp_intake_add_at(s->intake, &r, created_ms, body->data, body->len, err);
    kp_blob_unref(body);
    return rc;
}

static int import_service(struct source *s, const char *service, struct kp_error *err)
{
    struct kp_strbuf path;
    json_t *root;
    json_t *list;
    kp_strbuf_init(&path, 65536);
    kp_strbuf_adds(&path, "/api/0/profiles?from=1970-01-01T00:00:00&to=2200-01-01T00:00:00&service=");
    kp_strbuf_add_url(&path, service);
    int rc = fetch_list(s, path.data, &root, &list, err);
    kp_strbuf_finish(&path);
    for (size_t i = 0; rc == 0 && i < json_array_size(list); i++)
        rc = import_one(s, json_array_get(list, i), err);
    json_decref(root);
    return rc;
}

int kp_import_profefe(const char *url, struct kp_intake *intake, struct kp_error *err)
{
    struct source s = {.url = url, .intake = intake, .loop = kp_loop_create()};
    json_t *root;
    json_t *list;
    s.http = kp_http_create(s.loop, &(struct kp_http_options){.reuse = true});
    int rc = fetch_list(&s, "/api/0/services", &root, &list, err);
    for (size_t i = 0; rc == 0 && i < json_array_size(list); i++) {
        const char *service = json_string_value(json_array_get(list, i));
        if (service)
            rc = import_service(&s, service, err);
    }
    json_decref(root);
    kp_http_destroy(s.http);
    kp_loop_destroy(s.loop);
    return rc;
}
