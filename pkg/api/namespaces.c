// POST /api/v1/namespaces: when the cluster's namespaces were created, as the controller sees them. What is
// older than a namespace belongs to an earlier one of the same name, whose deletion nobody told us of, and is
// forgotten. Nothing follows from a namespace not being named.
#include <jansson.h>
#include <string.h>

#include "api/state.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/text.h"
#include "base/banned.h"

#define MAX_ITEMS 5000
#define MAX_NOTED 50000
#define LATE_MS   (INT64_C(48) * 3600 * 1000) // a capture comes no later than this after it was taken

struct item {
    char *name;
    int64_t created_ms, first_ms; // first_ms: of the oldest profile; 0 = none
    bool decided;
};

// A namespace of which is known that nothing older is kept, or will be.
struct kp_noted {
    char *name;
    int64_t created_ms;
    UT_hash_handle hh;
};

struct post {
    struct kp_api *api;
    struct kp_http_exchange *x; // NULL: the client left
    struct kp_blob *body;
    KP_ARRAY(struct item) items;
    int64_t now_ms;
    struct kp_error error;
};

// ---- the body ----

static int parse_item(const json_t *json, struct item *ret, struct kp_error *err)
{
    const char *name = json_string_value(json_object_get(json, "name"));
    const char *created = json_string_value(json_object_get(json, "created"));
    char shown[80];
    if (name == NULL || !kp_api_is_namespace(name))
        return kp_fail(err, KP_INVALID, "name: '%s' cannot be the name of a namespace",
            kp_printable(shown, sizeof shown, name ? name : "", name ? strlen(name) : 0));
    if (created == NULL || kp_time_parse(created, &ret->created_ms, NULL) != 0 || ret->created_ms <= 0)
        return kp_fail(err, KP_INVALID, "created: of namespace '%s' it is not a time of RFC 3339", name);
    ret->name = kp_strdup(name);
    return 0;
}

static int parse_items(struct post *p, const json_t *json, struct kp_error *err)
{
    const json_t *items = json_object_get(json, "items");
    const json_t *item;
    size_t i;
    if (!json_is_array(items))
        return kp_fail(
            err, KP_INVALID, "the body is not {\"items\":[{\"name\":\"...\",\"created\":\"...\"}]}");
    if (json_array_size(items) > MAX_ITEMS)
        return kp_fail(err, KP_INVALID, "%zu namespaces, at most %d are taken at once",
            json_array_size(items), MAX_ITEMS);
    json_array_foreach(items, i, item)
    {
        struct item one = {0};
        if (parse_item(item, &one, err) != 0)
            return kp_wrap(err, "items[%zu]", i);
        *kp_array_add(&p->items) = one;
    }
    return 0;
}

static void parse(void *arg)
{
    struct post *p = arg;
    json_error_t why;
    json_t *json = json_loadb((const char *)p->body->data, p->body->len, JSON_REJECT_DUPLICATES, &why);
    if (json == NULL)
        kp_fail(&p->error, KP_INVALID, "the body is not JSON: line %d: %s", why.line, why.text);
    else
        (void)!parse_items(p, json, &p->error);
    json_decref(json);
}

// ---- what is known ----

static bool is_noted(const struct kp_api *api, const struct item *item)
{
    struct kp_noted *n;
    HASH_FIND_STR(api->noted, item->name, n);
    return n && n->created_ms >= item->created_ms;
}

void kp_api_free_noted(struct kp_api *api)
{
    struct kp_noted *n;
    struct kp_noted *next;
    HASH_ITER (hh, api->noted, n, next) {
        HASH_DEL(api->noted, n);
        kp_free(n->name);
        kp_free(n);
    }
}

static void note(struct kp_api *api, struct item *item)
{
    struct kp_noted *n;
    HASH_FIND_STR(api->noted, item->name, n);
    if (n == NULL) {
        if (HASH_COUNT(api->noted) >= MAX_NOTED)
            kp_api_free_noted(api); // they are found out again
        n = KP_NEW(struct kp_noted);
        n->name = kp_strdup(item->name);
        HASH_ADD_KEYPTR(hh, api->noted, n->name, strlen(n->name), n);
    }
    n->created_ms = item->created_ms;
}

// ---- what is forgotten ----

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct item *)a)->name, ((const struct item *)b)->name);
}

static void on_service(void *user, const struct kp_service_info *info)
{
    struct post *p = user;
    const struct item wanted = {.name = (char *)(uintptr_t)info->namespace};
    struct item *item = bsearch(&wanted, p->items.items, p->items.n, sizeof wanted, by_name);
    if (item && (item->first_ms == 0 || info->first_ms < item->first_ms))
        item->first_ms = info->first_ms;
}

static void forget(void *arg)
{
    struct post *p = arg;
    struct kp_store *store = p->api->options.store;
    qsort(p->items.items, p->items.n, sizeof p->items.items[0], by_name);
    int rc = kp_store_services(store, NULL, on_service, p, &p->error);
    for (size_t i = 0; rc == 0 && i < p->items.n; i++) {
        struct item *item = &p->items.items[i];
        // a clock that runs ahead must not hide what is yet to come
        int64_t before_ms = item->created_ms < p->now_ms ? item->created_ms : p->now_ms;
        bool older = item->first_ms != 0 && item->first_ms < item->created_ms;
        bool late = item->created_ms > p->now_ms - LATE_MS;
        if (older || late)
            rc = kp_store_forget_namespace(store, item->name, before_ms, &p->error);
        item->decided = rc == 0;
    }
}

// ---- the request ----

static void on_gone(void *user)
{
    struct post *p = user;
    p->x = NULL;
}

static void finish(struct post *p)
{
    if (p->x) {
        kp_http_on_gone(p->x, NULL, NULL);
        if (p->error.code != 0)
            kp_api_refuse_write(p->x, &p->error);
        else
            kp_http_reply(p->x, 204, NULL, NULL);
    }
    for (size_t i = 0; i < p->items.n; i++)
        kp_free(p->items.items[i].name);
    kp_array_free(&p->items);
    kp_blob_unref(p->body);
    p->api->busy--;
    kp_free(p);
}

static void forgotten(void *arg)
{
    struct post *p = arg;
    for (size_t i = 0; i < p->items.n; i++)
        if (p->items.items[i].decided)
            note(p->api, &p->items.items[i]);
    finish(p);
}

static void parsed(void *arg)
{
    struct post *p = arg;
    size_t n = 0;
    for (size_t i = 0; i < p->items.n; i++) {
        if (is_noted(p->api, &p->items.items[i]))
            kp_free(p->items.items[i].name);
        else
            p->items.items[n++] = p->items.items[i];
    }
    p->items.n = n;
    if (p->error.code != 0 || n == 0)
        finish(p);
    else
        kp_worker_run(p->api->worker, forget, forgotten, p);
}

void kp_api_post_namespaces(struct kp_http_exchange *x, void *user)
{
    struct kp_api *api = user;
    struct post *p = KP_NEW(struct post);
    p->api = api;
    p->x = x;
    p->body = kp_blob_ref(kp_http_body(x));
    p->now_ms = api->options.now_ms();
    api->busy++;
    kp_http_on_gone(x, on_gone, p);
    kp_job_run(api->options.loop, KP_JOB_SHORT, parse, parsed, p);
}
