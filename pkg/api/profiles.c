// Reading profiles: lists, one profile, services.
#include <string.h>

#include "api/json.h"
#include "api/state.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/text.h"
#include "base/banned.h"

// ---- list ----

#define MAX_LIST 10000

struct list_query {
    char *namespace, *service, *type, *cursor;
    struct kp_selector *selector;
    struct kp_store_query store;
};

static void list_query_free(struct list_query *q)
{
    kp_free(q->namespace);
    kp_free(q->service);
    kp_free(q->type);
    kp_free(q->cursor);
    kp_selector_destroy(q->selector);
    kp_free(q);
}

static int parse_time(
    const struct kp_http_exchange *x, const char *name, int64_t now_ms, int64_t *ret, struct kp_error *err)
{
    const char *text = kp_http_arg(x, name);
    if (text == NULL || text[0] == '\0')
        return 0;
    return kp_time_parse_relative(text, now_ms, ret, err) == 0 ? 0 : kp_wrap(err, "%s", name);
}

static int parse_order(const char *text, bool *ret_newest_first, struct kp_error *err)
{
    *ret_newest_first = text == NULL || text[0] == '\0' || kp_streq(text, "newest") || kp_streq(text, "desc");
    if (*ret_newest_first || kp_streq(text, "oldest") || kp_streq(text, "asc"))
        return 0;
    return kp_fail(err, KP_INVALID, "order: say newest or oldest");
}

static int parse_query(
    const struct kp_http_exchange *x, int64_t now_ms, struct list_query *q, struct kp_error *err)
{
    const char *limit = kp_http_arg(x, "limit");
    const char *selector = kp_http_arg(x, "selector");
    int64_t n = 0;
    int rc = parse_time(x, "from", now_ms, &q->store.from_ms, err);
    if (rc == 0)
        rc = parse_time(x, "to", now_ms, &q->store.to_ms, err);
    if (rc == 0)
        rc = parse_order(kp_http_arg(x, "order"), &q->store.newest_first, err);
    if (rc == 0 && limit && limit[0] && kp_parse_int(limit, 1, MAX_LIST, &n, err) != 0)
        rc = kp_wrap(err, "limit");
    if (rc == 0 && selector && selector[0] && kp_selector_parse(selector, true, &q->selector, err) != 0)
        rc = kp_wrap(err, "selector");
    if (rc != 0)
        return rc;
    q->store.limit = (size_t)n;
    q->store.namespace = q->namespace = kp_strdup(kp_http_arg(x, "namespace"));
    q->store.service = q->service = kp_strdup(kp_http_arg(x, "service"));
    q->store.type = q->type = kp_strdup(kp_http_arg(x, "type"));
    q->store.cursor = q->cursor = kp_strdup(kp_http_arg(x, "cursor"));
    q->store.selector = q->selector;
    return 0;
}

static bool on_record(void *user, const struct kp_record *record)
{
    struct kp_json *j = user;
    kp_json_record(j, record);
    return !j->out->overflow;
}

static void list_work(struct kp_call *call)
{
    struct list_query *q = call->data;
    kp_auto_strbuf buf;
    kp_strbuf_init(&buf, KP_API_MAX_ANSWER);
    struct kp_json j = {.out = &buf};
    kp_auto_free char *cursor = NULL;
    kp_json_open(&j, NULL, '{');
    kp_json_open(&j, "items", '[');
    if (kp_store_list(call->api->options.store, &q->store, on_record, &j, &cursor, &call->error) != 0)
        return;
    kp_json_close(&j, ']');
    kp_json_text(&j, "cursor", cursor);
    kp_json_close(&j, '}');
    kp_call_body(call, &buf);
}

static void list_finish(struct kp_call *call)
{
    list_query_free(call->data);
}

void kp_api_list_profiles(struct kp_http_exchange *x, void *user)
{
    struct kp_api *api = user;
    struct kp_error err = {0};
    struct list_query *q = KP_NEW(struct list_query);
    if (parse_query(x, api->options.now_ms(), q, &err) != 0) {
        kp_http_reply_error(x, &err);
        list_query_free(q);
        return;
    }
    kp_call_start(api, x, KP_API_NATIVE, list_work, list_finish, q);
}

// ---- one ----

struct get_one {
    char *id;
    bool meta;
};

// Service, type and time; only what every file system and browser takes.
static char *name_file(const struct kp_record *r)
{
    char time[KP_TIME_TEXT];
    kp_time_format(time, r->start_ms ? r->start_ms : r->received_ms);
    const char *suffix = kp_streq(r->format, "pprof")   ? "pb.gz"
                         : kp_streq(r->format, "trace") ? "trace"
                                                        : "txt";
    char *text = kp_asprintf("%.60s-%.40s-%s.%s", r->service, r->type, time, suffix);
    for (char *p = text; *p; p++) {
        bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9');
        if (!plain && strchr("._-", *p) == NULL)
            *p = '-';
    }
    if (text[0] == '.' || text[0] == '-')
        text[0] = '_';
    return text;
}

static void get_work(struct kp_call *call)
{
    struct get_one *get = call->data;
    struct kp_record record;
    struct kp_store *store = call->api->options.store;
    if (kp_store_get(store, get->id, &record, get->meta ? NULL : &call->body, &call->error) != 0)
        return;
    if (get->meta) {
        kp_auto_strbuf buf;
        kp_strbuf_init(&buf, KP_API_MAX_ANSWER);
        struct kp_json j = {.out = &buf};
        kp_json_record(&j, &record);
        kp_call_body(call, &buf);
    } else {
        call->content_type = "application/octet-stream";
        call->file_name = name_file(&record);
    }
    kp_record_finish(&record);
}

static void get_finish(struct kp_call *call)
{
    struct get_one *get = call->data;
    kp_free(get->id);
    kp_free(get);
}

// Clients that take anything (curl, go tool pprof, kubectl get --raw) want the profile.
static bool wants_json(const struct kp_http_exchange *x)
{
    const char *accept = kp_http_header(x, "Accept");
    const char *meta = kp_http_arg(x, "meta");
    bool asked = false;
    if (meta && kp_parse_bool(meta, &asked, NULL) == 0)
        return asked;
    return accept && strstr(accept, "application/json") && !strstr(accept, "*/*");
}

void kp_api_get_profile(struct kp_http_exchange *x, void *user)
{
    struct get_one *get = KP_NEW(struct get_one);
    get->id = kp_strdup(kp_http_param(x, "id"));
    get->meta = wants_json(x);
    kp_call_start(user, x, KP_API_NATIVE, get_work, get_finish, get);
}

// ---- services ----

static void on_service(void *user, const struct kp_service_info *info)
{
    struct kp_json *j = user;
    kp_json_open(j, NULL, '{');
    kp_json_text(j, "namespace", info->namespace);
    kp_json_text(j, "service", info->service);
    kp_json_words(j, "types", info->types);
    kp_json_int(j, "profiles", (int64_t)info->n_profiles);
    kp_json_int(j, "bytes", (int64_t)info->bytes);
    kp_json_time(j, "firstTime", info->first_ms);
    kp_json_time(j, "lastTime", info->last_ms);
    kp_json_close(j, '}');
}

static void services_work(struct kp_call *call)
{
    kp_auto_strbuf buf;
    kp_strbuf_init(&buf, KP_API_MAX_ANSWER);
    struct kp_json j = {.out = &buf};
    kp_json_open(&j, NULL, '{');
    kp_json_open(&j, "items", '[');
    if (kp_store_services(call->api->options.store, call->data, on_service, &j, &call->error) != 0)
        return;
    kp_json_close(&j, ']');
    kp_json_text(&j, "cursor", "");
    kp_json_close(&j, '}');
    kp_call_body(call, &buf);
}

static void services_finish(struct kp_call *call)
{
    kp_free(call->data);
}

void kp_api_list_services(struct kp_http_exchange *x, void *user)
{
    kp_call_start(
        user, x, KP_API_NATIVE, services_work, services_finish, kp_strdup(kp_http_arg(x, "namespace")));
}
