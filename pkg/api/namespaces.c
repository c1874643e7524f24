// POST /api/v1/namespaces: when the cluster's namespaces were created, as the controller sees them. What is
// older than a namespace belongs to an earlier one of the same name, whose deletion nobody told us of, and is
// forgotten. Nothing follows from a namespace not being named.
#include <jansson.h>
#include <string.h>

#include "api/state.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/text.h"
#include "base/banned.h"

#define MAX_ITEMS 5000
#define MAX_ROUND 64
#define LATE_MS   (INT64_C(48) * 3600 * 1000) // a capture comes no later than this after it was taken

struct item {
    char *name;
    int64_t created_ms, first_ms; // first_ms: of the oldest profile; 0 = none
};

struct post {
    struct kp_api *api;
    struct kp_http_exchange *x; // NULL: the client left
    struct kp_blob *body;
    KP_ARRAY(struct item) items;
    struct kp_told_part part; // of a telling of all; round NULL = it is not
    char *round;
    int64_t now_ms;
    bool decided; // what is older than the items is gone
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

// "all": one of several posts that tell all namespaces.
static int parse_part(struct post *p, const json_t *all, struct kp_error *err)
{
    const char *round = json_string_value(json_object_get(all, "round"));
    const json_t *part = json_object_get(all, "part");
    const json_t *more = json_object_get(all, "more");
    if (all == NULL)
        return 0;
    if (round == NULL || round[0] == '\0' || strlen(round) > MAX_ROUND || !json_is_integer(part) ||
        json_integer_value(part) < 0 || (more != NULL && !json_is_boolean(more)))
        return kp_fail(err, KP_INVALID,
            "all: it is not {\"round\":\"...\",\"part\":0,\"more\":true}, with at most %d characters",
            MAX_ROUND);
    p->round = kp_strdup(round);
    p->part = (struct kp_told_part){p->round, json_integer_value(part), json_is_true(more)};
    return 0;
}

static void parse(void *arg)
{
    struct post *p = arg;
    json_error_t why;
    json_t *json = json_loadb((const char *)p->body->data, p->body->len, JSON_REJECT_DUPLICATES, &why);
    if (json == NULL)
        kp_fail(&p->error, KP_INVALID, "the body is not JSON: line %d: %s", why.line, why.text);
    else if (parse_items(p, json, &p->error) == 0)
        (void)!parse_part(p, json_object_get(json, "all"), &p->error);
    json_decref(json);
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
    KP_ARRAY(struct kp_forget) gone = {0};
    int rc = kp_store_services(store, NULL, on_service, p, &p->error);
    for (size_t i = 0; rc == 0 && i < p->items.n; i++) {
        struct item *item = &p->items.items[i];
        // a clock that runs ahead must not hide what is yet to come
        int64_t before_ms = item->created_ms < p->now_ms ? item->created_ms : p->now_ms;
        bool older = item->first_ms != 0 && item->first_ms < item->created_ms;
        bool late = item->created_ms > p->now_ms - LATE_MS;
        if (older || late)
            *kp_array_add(&gone) = (struct kp_forget){item->name, before_ms};
    }
    if (rc == 0)
        rc = kp_store_forget_namespaces(store, gone.items, gone.n, &p->error); // one file for all
    p->decided = rc == 0;
    kp_array_free(&gone);
}

// ---- the request ----

static void on_gone(void *user)
{
    struct post *p = user;
    p->x = NULL;
}

// Everything was taken. Whether the whole of it is known is told as well: the one who tells asks by a post of
// nothing.
static void conclude(struct post *p)
{
    struct kp_told *told = p->api->told;
    bool fits = p->part.round != NULL && kp_told_take(told, &p->part);
    if (!fits && kp_told_waits(told))
        kp_fail(&p->error, KP_CONFLICT,
            "what came was taken, but the registry has not been told of all namespaces since it started: "
            "tell "
            "them again");
}

static void finish(struct post *p)
{
    if (p->error.code != 0)
        kp_told_miss(p->api->told);
    else
        conclude(p);
    if (p->x) {
        kp_http_on_gone(p->x, NULL, NULL);
        if (p->error.code != 0)
            kp_api_refuse_write(p->x, &p->error);
        else
            kp_http_reply(p->x, 204, NULL, NULL);
    }
    kp_free(p->round);
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
    for (size_t i = 0; p->decided && i < p->items.n; i++)
        kp_told_set(p->api->told, p->items.items[i].name, p->items.items[i].created_ms);
    finish(p);
}

static void parsed(void *arg)
{
    struct post *p = arg;
    size_t n = 0;
    for (size_t i = 0; i < p->items.n; i++) {
        if (kp_told_has(p->api->told, p->items.items[i].name, p->items.items[i].created_ms))
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
