// Reading profiles: lists, one profile, services.
#include <string.h>

#include "api/json.h"
#include "api/state.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/text.h"
#include "base/banned.h"

// ---- list ----

static bool on_record(void *user, const struct kp_record *record)
{
    struct kp_json *j = user;
    kp_json_record(j, record);
    return !j->out->overflow;
}

static void list_work(struct kp_call *call)
{
    const struct kp_query *q = call->data;
    struct kp_store_query query = kp_query_select(q);
    query.stop = &call->stop;
    kp_auto_strbuf buf;
    kp_strbuf_init(&buf, KP_API_MAX_ANSWER);
    struct kp_json j = {.out = &buf};
    kp_auto_free char *cursor = NULL;
    kp_json_open(&j, NULL, '{');
    kp_json_open(&j, "items", '[');
    if (kp_store_list(call->api->options.store, &query, on_record, &j, &cursor, &call->error) != 0)
        return;
    kp_json_close(&j, ']');
    kp_json_text(&j, "cursor", cursor);
    kp_json_close(&j, '}');
    kp_call_body(call, &buf);
}

static void query_finish(struct kp_call *call)
{
    kp_query_finish(call->data);
    kp_free(call->data);
}

// NULL if it was answered already.
static struct kp_query *parse(struct kp_api *api, struct kp_http_exchange *x, unsigned query_for)
{
    struct kp_error err = {0};
    struct kp_query *q = KP_NEW(struct kp_query);
    if (kp_query_parse(x, query_for, api->options.now_ms(), q, &err) == 0)
        return q;
    kp_http_reply_error(x, &err);
    kp_query_finish(q);
    kp_free(q);
    return NULL;
}

void kp_api_list_profiles(struct kp_http_exchange *x, void *user)
{
    struct kp_api *api = user;
    struct kp_query *q = parse(api, x, KP_Q_LIST);
    if (q && q->watch) {
        kp_api_watch(api, x, q);
        kp_free(q);
    } else if (q) {
        kp_call_start_search(api, x, q->selector, list_work, query_finish, q);
    }
}

// ---- one ----

struct get_one {
    char *id;
    char *namespace; // where it has to lie; NULL = anywhere
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
    call->by_id = true;
    struct kp_store *store = call->api->options.store;
    if (kp_store_get_in(
            store, get->namespace, get->id, &record, get->meta ? NULL : &call->body, &call->error) != 0)
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
    kp_free(get->namespace);
    kp_free(get);
}

// Clients that take anything (curl, go tool pprof, kubectl get --raw) want the profile.
static bool wants_json(const struct kp_http_exchange *x)
{
    const char *accept = kp_http_header(x, "Accept");
    return accept && strstr(accept, "application/json") && !strstr(accept, "*/*");
}

bool kp_api_wants_facts(const struct kp_http_exchange *x)
{
    const char *meta = kp_http_arg(x, "meta");
    bool yes = false;
    if (meta == NULL)
        return wants_json(x);
    return meta[0] != '\0' && kp_parse_bool(meta, &yes, NULL) == 0 && yes;
}

void kp_api_send_profile(struct kp_api *api, struct kp_http_exchange *x, bool facts)
{
    struct get_one *get = KP_NEW(struct get_one);
    get->id = kp_strdup(kp_http_param(x, "id"));
    get->namespace = kp_strdup(kp_api_scope(x)->namespace);
    get->meta = facts;
    kp_call_start(api, x, KP_API_NATIVE, get_work, get_finish, get);
}

void kp_api_get_profile(struct kp_http_exchange *x, void *user)
{
    struct kp_query *q = parse(user, x, KP_Q_GET);
    if (q == NULL)
        return;
    kp_query_finish(q);
    kp_free(q);
    kp_api_send_profile(user, x, kp_api_wants_facts(x));
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
    const struct kp_query *q = call->data;
    kp_auto_strbuf buf;
    kp_strbuf_init(&buf, KP_API_MAX_ANSWER);
    struct kp_json j = {.out = &buf};
    kp_json_open(&j, NULL, '{');
    kp_json_open(&j, "items", '[');
    if (kp_store_services(call->api->options.store, q->namespace, on_service, &j, &call->error) != 0)
        return;
    kp_json_close(&j, ']');
    kp_json_text(&j, "cursor", "");
    kp_json_close(&j, '}');
    kp_call_body(call, &buf);
}

void kp_api_list_services(struct kp_http_exchange *x, void *user)
{
    struct kp_query *q = parse(user, x, KP_Q_SERVICES);
    if (q)
        kp_call_start(user, x, KP_API_NATIVE, services_work, query_finish, q);
}
