// Lists, single profiles and sub-resources of the aggregated API.
#include "api/aggregated.h"

#include <string.h>

#include "api/state.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/text.h"
#include "base/banned.h"

// The door has checked it as well, where there is one.
static bool path_is_good(struct kp_http_exchange *x)
{
    if (kp_agg_path_is_strict(kp_http_path(x)))
        return true;
    kp_api_agg_nothing(x, NULL);
    return false;
}

// ---- a collection ----

struct list {
    struct kp_agg_accept accept;
    struct kp_agg_select select;
    char *namespace; // NULL = all
    char *cursor, *include;
    int64_t limit;          // 0 = all there are
    int64_t from_ms, to_ms; // 0 = open
    int64_t now_ms;
};

bool kp_agg_take_select(struct kp_http_exchange *x, struct kp_agg_select *ret)
{
    struct kp_error err = {0};
    if (kp_agg_select_parse(kp_http_arg(x, "labelSelector"), kp_http_arg(x, "fieldSelector"), ret, &err) == 0)
        return true;
    kp_http_reply_error(x, &err);
    kp_agg_select_finish(ret);
    return false;
}

static void list_finish(struct kp_call *call)
{
    struct list *l = call->data;
    kp_agg_select_finish(&l->select);
    kp_free(l->namespace);
    kp_free(l->cursor);
    kp_free(l->include);
    kp_free(l);
}

struct writing {
    const struct list *list;
    struct kp_json *j;
};

static void add_item(struct kp_json *j, const struct list *l, const struct kp_record *record)
{
    if (l->accept.form == KP_AGG_TABLE)
        kp_agg_row(j, record, l->now_ms, l->include, l->accept.beta);
    else if (l->accept.form == KP_AGG_METADATA)
        kp_agg_metadata_object(j, NULL, record, l->accept.beta);
    else
        kp_agg_object(j, NULL, record);
}

static bool on_record(void *user, const struct kp_record *record)
{
    const struct writing *w = user;
    add_item(w->j, w->list, record);
    return !w->j->out->overflow;
}

// One, whose name is known.
static int list_one(struct kp_call *call, const struct list *l, const char *namespace, struct kp_json *j)
{
    struct kp_record record;
    struct kp_store *store = call->api->options.store;
    int rc = kp_store_get_in(store, namespace, l->select.name, &record, NULL, &call->error);
    if (rc == KP_NOT_FOUND) {
        kp_error_clear(&call->error);
        return 0;
    }
    if (rc != 0)
        return rc;
    const struct kp_store_query query = {.service = l->select.service,
        .type = l->select.type,
        .selector = l->select.selector,
        .from_ms = l->from_ms,
        .to_ms = l->to_ms};
    if (kp_store_query_matches(&query, &record))
        add_item(j, l, &record);
    kp_record_finish(&record);
    return 0;
}

static int list_many(
    struct kp_call *call, const struct list *l, const char *namespace, struct kp_json *j, char **ret_cursor)
{
    struct writing writing = {l, j};
    const struct kp_store_query query = {.namespace = namespace,
        .service = l->select.service,
        .type = l->select.type,
        .selector = l->select.selector,
        .from_ms = l->from_ms,
        .to_ms = l->to_ms,
        .limit = l->limit > 0 && l->limit < KP_AGG_MAX_LIST ? (size_t)l->limit : KP_AGG_MAX_LIST,
        .cursor = l->cursor,
        .newest_first = true,
        .stop = &call->stop};
    struct kp_error err = {0};
    int rc = kp_store_list(call->api->options.store, &query, on_record, &writing, ret_cursor, &err);
    if (rc == KP_INVALID && l->cursor)
        return kp_fail(&call->error, KP_GONE,
            "the continue parameter is none that was given here; begin a new list without it");
    if (rc != 0)
        return kp_fail(&call->error, rc, "%s", err.text);
    if (*ret_cursor && l->limit == 0)
        return kp_fail(&call->error, KP_LIMIT,
            "more than %d profiles match; ask for fewer with -l or --field-selector, or in pieces with "
            "--chunk-size",
            KP_AGG_MAX_LIST);
    return 0;
}

static void begin_list(struct kp_json *j, const struct list *l)
{
    static const char *const kinds[] = {[KP_AGG_OBJECT] = "ProfileList",
        [KP_AGG_TABLE] = "Table",
        [KP_AGG_METADATA] = "PartialObjectMetadataList"};
    const char *version = l->accept.form == KP_AGG_OBJECT ? KP_AGG_API_VERSION
                          : l->accept.beta                ? "meta.k8s.io/v1beta1"
                                                          : "meta.k8s.io/v1";
    kp_json_open(j, NULL, '{');
    kp_json_text(j, "kind", kinds[l->accept.form]);
    kp_json_text(j, "apiVersion", version);
    if (l->accept.form == KP_AGG_TABLE)
        kp_agg_columns(j);
    kp_json_open(j, l->accept.form == KP_AGG_TABLE ? "rows" : "items", '[');
}

static void end_list(struct kp_json *j, const char *cursor)
{
    kp_json_close(j, ']');
    kp_json_open(j, "metadata", '{');
    kp_json_text(j, "resourceVersion", "1"); // nothing can be watched from it
    kp_json_str(j, "continue", cursor);
    kp_json_close(j, '}');
    kp_json_close(j, '}');
    kp_strbuf_addc(j->out, '\n');
}

static void list_work(struct kp_call *call)
{
    const struct list *l = call->data;
    const char *namespace = l->namespace ? l->namespace : l->select.namespace;
    kp_auto_free char *cursor = NULL;
    kp_auto_strbuf out;
    kp_strbuf_init(&out, KP_API_MAX_ANSWER);
    struct kp_json j = {.out = &out};
    int rc = 0;
    begin_list(&j, l);
    if (!l->select.nothing && l->select.name)
        rc = list_one(call, l, namespace, &j);
    else if (!l->select.nothing)
        rc = list_many(call, l, namespace, &j, &cursor);
    if (rc != 0)
        return;
    end_list(&j, cursor);
    kp_call_body(call, &out);
}

static int take_time(
    const struct kp_http_exchange *x, const char *name, int64_t now_ms, int64_t *ret, struct kp_error *err)
{
    const char *text = kp_http_arg(x, name);
    int rc = text && text[0] ? kp_time_parse_relative(text, now_ms, ret, err) : 0;
    return rc != 0 ? kp_wrap(err, "%s", name) : 0;
}

// What kubectl never sends and other clients can say beside it, as on /api/v1: times, and a selector with
// regular expressions.
static int take_more(const struct kp_http_exchange *x, struct list *l, struct kp_error *err)
{
    const char *selector = kp_http_arg(x, "selector");
    int rc = take_time(x, "from", l->now_ms, &l->from_ms, err);
    if (rc == 0)
        rc = take_time(x, "to", l->now_ms, &l->to_ms, err);
    if (rc != 0 || selector == NULL || selector[0] == '\0')
        return rc;
    if (l->select.selector != NULL)
        return kp_fail(err, KP_INVALID, "give labelSelector or selector, not both");
    rc = kp_selector_parse(selector, true, &l->select.selector, err);
    return rc != 0 ? kp_wrap(err, "selector") : 0;
}

static int take_list(const struct kp_http_exchange *x, struct list *l, struct kp_error *err)
{
    const char *limit = kp_http_arg(x, "limit");
    const char *cursor = kp_http_arg(x, "continue");
    const char *include = kp_http_arg(x, "includeObject");
    if (limit && limit[0] && kp_parse_int(limit, 0, INT64_MAX, &l->limit, err) != 0)
        return kp_wrap(err, "limit");
    if (include && include[0] && !kp_streq(include, "None") && !kp_streq(include, "Metadata") &&
        !kp_streq(include, "Object"))
        return kp_fail(err, KP_INVALID, "includeObject: it can be None, Metadata or Object");
    l->cursor = cursor && cursor[0] ? kp_strdup(cursor) : NULL;
    l->include = include && include[0] ? kp_strdup(include) : NULL;
    return take_more(x, l, err);
}

static bool take_accept(struct kp_http_exchange *x, struct kp_agg_accept *ret)
{
    struct kp_error err = {0};
    if (kp_agg_accept_parse(kp_http_header(x, "Accept"), ret, &err) == 0)
        return true;
    kp_http_reply_status(x, 406, "NotAcceptable", err.text);
    return false;
}

static bool refuses_watch(struct kp_http_exchange *x)
{
    if (!kp_agg_is_watch(kp_http_arg(x, "watch")))
        return false;
    kp_http_reply_status(x, 405, "MethodNotAllowed",
        "watch is not supported on profiles of the API server; ask the registry itself (/api/v1/profiles)");
    return true;
}

void kp_api_agg_list(struct kp_http_exchange *x, void *user)
{
    struct kp_api *api = user;
    struct kp_agg_accept accept;
    struct kp_agg_select select;
    struct kp_error err = {0};
    const struct kp_scope *scope = kp_api_scope(x);
    if (!path_is_good(x) || refuses_watch(x) || !take_accept(x, &accept) || !kp_agg_take_select(x, &select))
        return;
    struct list *l = KP_NEW(struct list);
    *l = (struct list){.accept = accept,
        .select = select,
        .namespace = kp_strdup(scope->namespace),
        .now_ms = api->options.now_ms()};
    if (l->namespace && l->select.namespace && !kp_streq(l->namespace, l->select.namespace))
        l->select.nothing = true;
    if (take_list(x, l, &err) == 0) {
        kp_call_start_search(api, x, l->select.selector, list_work, list_finish, l);
        return;
    }
    kp_http_reply_error(x, &err);
    list_finish(&(struct kp_call){.data = l});
}

// ---- one ----

struct one {
    struct kp_agg_accept accept;
    char *id, *namespace, *include;
    int64_t now_ms;
};

static void one_finish(struct kp_call *call)
{
    struct one *one = call->data;
    kp_free(one->id);
    kp_free(one->namespace);
    kp_free(one->include);
    kp_free(one);
}

static void one_work(struct kp_call *call)
{
    const struct one *one = call->data;
    struct kp_record record;
    call->by_id = true;
    if (kp_store_get_in(call->api->options.store, one->namespace, one->id, &record, NULL, &call->error) != 0)
        return;
    kp_auto_strbuf out;
    kp_strbuf_init(&out, KP_API_MAX_ANSWER);
    struct kp_json j = {.out = &out};
    if (one->accept.form == KP_AGG_TABLE) {
        const struct list l = {.accept = one->accept};
        begin_list(&j, &l);
        kp_agg_row(&j, &record, one->now_ms, one->include, one->accept.beta);
        end_list(&j, NULL);
    } else if (one->accept.form == KP_AGG_METADATA) {
        kp_agg_metadata_object(&j, NULL, &record, one->accept.beta);
    } else {
        kp_agg_object(&j, NULL, &record);
    }
    kp_record_finish(&record);
    kp_call_body(call, &out);
}

void kp_api_agg_get(struct kp_http_exchange *x, void *user)
{
    struct kp_api *api = user;
    struct kp_agg_accept accept;
    if (!path_is_good(x) || refuses_watch(x) || !take_accept(x, &accept))
        return;
    struct one *one = KP_NEW(struct one);
    *one = (struct one){.accept = accept,
        .id = kp_strdup(kp_http_param(x, "id")),
        .namespace = kp_strdup(kp_api_scope(x)->namespace),
        .include = kp_strdup(kp_http_arg(x, "includeObject")),
        .now_ms = api->options.now_ms()};
    kp_call_start(api, x, KP_API_NATIVE, one_work, one_finish, one);
}

void kp_api_agg_download(struct kp_http_exchange *x, void *user)
{
    if (path_is_good(x))
        kp_api_send_profile(user, x, false);
}

// ---- sub-resources of "-" ----

void kp_api_agg_query(struct kp_http_exchange *x, void *user)
{
    const struct kp_api_tag *tag = kp_http_matched_route(x)->tag;
    if (!path_is_good(x))
        return;
    if (kp_http_arg(x, "namespace"))
        kp_http_reply_status(
            x, 400, "Invalid", "the namespace stands in the path here; leave the parameter namespace out");
    else
        tag->handler(x, user);
}
