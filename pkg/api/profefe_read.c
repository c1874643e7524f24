// profefe's API: finding, reading, merging.
#include <stdlib.h>
#include <string.h>

#include "api/profefe_args.h"
#include "api/state.h"
#include "base/alloc.h"
#include "base/array.h"
#include "base/text.h"
#include "base/banned.h"

#define PAGE         1000
#define MAX_MERGE    1000000
#define PPROF_LEVEL  6
#define OCTET_STREAM "application/octet-stream"

static bool on_any(void *user, const struct kp_record *record)
{
    (void)record;
    *(bool *)user = true;
    return false;
}

bool kp_api_namespace_known(struct kp_api *api, const char *namespace)
{
    const struct kp_store_query query = {.namespace = namespace, .limit = 1};
    kp_auto_free char *cursor = NULL;
    bool any = false;
    return kp_store_list(api->options.store, &query, on_any, &any, &cursor, NULL) == 0 && any;
}

// ---- what find and merge select ----

struct search {
    struct kp_profefe_find find;
    char *confined_to;   // of the scope: the one namespace there is; NULL = all
    char *namespace;     // copied out of the service's name, or ""
    const char *service; // into find
    struct kp_selector *selector;
    bool only_other; // types that have no name here; sorted out one by one
};

static void search_finish(struct search *s)
{
    kp_profefe_find_finish(&s->find);
    kp_free(s->confined_to);
    kp_free(s->namespace);
    kp_selector_destroy(s->selector);
}

// NAMESPACE/SERVICE where there is such a namespace, else a name as it stands.
static int resolve(struct kp_api *api, struct search *s, struct kp_error *err)
{
    s->only_other = kp_streq(s->find.type, "other");
    if (s->confined_to) {
        s->service = kp_profefe_own_service(s->find.service, s->confined_to);
        s->namespace = kp_strdup(s->confined_to);
        return kp_profefe_selector(s->find.labels, true, true, &s->selector, err);
    }
    const char *slash = strchr(s->find.service, '/');
    kp_auto_free char *namespace = kp_strndup(s->find.service, slash ? (size_t)(slash - s->find.service) : 0);
    bool in_cluster =
        slash && namespace[0] != '\0' && slash[1] != '\0' && kp_api_namespace_known(api, namespace);
    s->service = in_cluster ? slash + 1 : s->find.service;
    s->namespace = in_cluster ? kp_take(namespace) : kp_strdup("");
    return kp_profefe_selector(s->find.labels, in_cluster, false, &s->selector, err);
}

static struct kp_store_query store_query(const struct search *s)
{
    return (struct kp_store_query){.namespace = s->namespace,
        .service = s->service,
        .type = s->only_other ? NULL : s->find.type,
        .from_ms = s->find.from_ms,
        .to_ms = s->find.to_ms,
        .selector = s->selector};
}

// Calls each for what is found, the newest first if there is a limit, until it says no.
struct walk {
    const struct search *search;
    bool (*each)(void *user, const struct kp_record *record);
    void *user;
    int64_t n, max; // max 0 = all
    bool over;
};

static bool on_found(void *user, const struct kp_record *record)
{
    struct walk *w = user;
    if (w->search->only_other && !kp_streq(kp_profefe_type_shown(record->type), "other"))
        return true;
    w->over = !w->each(w->user, record);
    w->n++;
    w->over |= w->max > 0 && w->n >= w->max;
    return !w->over;
}

static int walk(struct kp_call *call, struct walk *w)
{
    struct kp_store_query query = store_query(w->search);
    kp_auto_free char *cursor = NULL;
    query.newest_first = w->max > 0;
    query.limit = w->max > 0 && w->max < PAGE && !w->search->only_other ? (size_t)w->max : PAGE;
    do {
        kp_auto_free char *next = NULL;
        query.cursor = cursor;
        if (kp_store_list(call->api->options.store, &query, on_found, w, &next, &call->error) != 0)
            return call->error.code;
        kp_free(cursor);
        cursor = kp_take(next);
    } while (cursor && !w->over && __atomic_load_n(&call->cancelled, __ATOMIC_RELAXED) == 0);
    return 0;
}

static int nothing_found(struct kp_call *call)
{
    return kp_fail(&call->error, KP_NOT_FOUND, "nothing found");
}

static void search_call_finish(struct kp_call *call)
{
    search_finish(call->data);
    kp_free(call->data);
}

// ---- find ----

struct pieces {
    bool plain_names;
    struct kp_strbuf text; // one description after the other
    KP_ARRAY(size_t) starts;
};

static bool add_piece(void *user, const struct kp_record *record)
{
    struct pieces *p = user;
    struct kp_json j = {.out = &p->text};
    *kp_array_add(&p->starts) = p->text.len;
    kp_profefe_profile(&j, NULL, record, p->plain_names);
    return !p->text.overflow;
}

static void write_pieces(const struct pieces *p, bool backwards, struct kp_strbuf *out)
{
    kp_strbuf_adds(out, "{\"code\":200,\"body\":[");
    for (size_t i = 0; i < p->starts.n; i++) {
        size_t at = backwards ? p->starts.n - 1 - i : i;
        size_t end = at + 1 < p->starts.n ? p->starts.items[at + 1] : p->text.len;
        kp_strbuf_adds(out, i > 0 ? "," : "");
        kp_strbuf_add(out, p->text.data + p->starts.items[at], end - p->starts.items[at]);
    }
    kp_strbuf_adds(out, "]}\n");
    out->overflow |= p->text.overflow;
}

static void find_work(struct kp_call *call)
{
    struct search *s = call->data;
    struct pieces pieces = {.plain_names = s->confined_to != NULL};
    struct walk w = {.search = s, .each = add_piece, .user = &pieces, .max = s->find.limit};
    kp_auto_strbuf out;
    kp_strbuf_init(&out, KP_API_MAX_ANSWER);
    kp_strbuf_init(&pieces.text, KP_API_MAX_ANSWER);
    if (resolve(call->api, s, &call->error) == 0 && walk(call, &w) == 0) {
        if (pieces.starts.n == 0)
            nothing_found(call);
        write_pieces(&pieces, s->find.limit > 0, &out);
        kp_call_body(call, &out);
    }
    kp_strbuf_finish(&pieces.text);
    kp_array_free(&pieces.starts);
}

static struct search *parse_search(struct kp_http_exchange *x)
{
    struct kp_error err = {0};
    struct search *s = KP_NEW(struct search);
    s->confined_to = kp_strdup(kp_api_scope(x)->namespace);
    if (kp_profefe_parse_find(kp_http_query(x), &s->find, &err) == 0)
        return s;
    kp_profefe_error(x, 400, err.text);
    search_finish(s);
    kp_free(s);
    return NULL;
}

void kp_api_profefe_find(struct kp_http_exchange *x, void *user)
{
    struct search *s = parse_search(x);
    if (s)
        kp_call_start(user, x, KP_API_PROFEFE, find_work, search_call_finish, s);
}

// ---- merge ----

struct idlist {
    KP_ARRAY(char *) ids;
};

static bool add_id(void *user, const struct kp_record *record)
{
    struct idlist *list = user;
    *kp_array_add(&list->ids) = kp_strdup(record->id);
    return list->ids.n < MAX_MERGE;
}

static void idlist_free(struct idlist *list)
{
    for (size_t i = 0; i < list->ids.n; i++)
        kp_free(list->ids.items[i]);
    kp_array_free(&list->ids);
}

static void answer_merged(struct kp_call *call, struct kp_merge_query *query)
{
    struct kp_profile *merged = NULL;
    struct kp_merge_stats stats;
    query->plain_sum = query->with_startup = true;
    query->cancelled = &call->cancelled;
    query->deadline_ms = call->stop.deadline_ms;
    if (kp_store_merge(call->api->options.store, query, &merged, &stats, &call->error) != 0) {
        if (call->error.code == KP_NOT_FOUND && query->n_ids == 0) {
            kp_error_clear(&call->error);
            nothing_found(call);
        }
        return;
    }
    kp_auto_strbuf out;
    kp_strbuf_init(&out, KP_API_MAX_ANSWER);
    kp_profile_encode(merged, PPROF_LEVEL, &out);
    kp_profile_free(merged);
    kp_call_body(call, &out);
}

// namespace: where it has to lie; NULL = anywhere
static void answer_one(struct kp_call *call, const char *namespace, const char *id)
{
    struct kp_store *store = call->api->options.store;
    if (kp_store_get_in(store, namespace, id, NULL, &call->body, &call->error) != 0 &&
        call->error.code == KP_NOT_FOUND) {
        kp_error_clear(&call->error);
        nothing_found(call);
    }
}

// One match is given out as it is; a few, or those a limit leaves, are named; many are selected again by the
// merge.
static void merge_work(struct kp_call *call)
{
    struct search *s = call->data;
    struct idlist list = {0};
    bool named = s->find.limit > 0 || s->only_other;
    struct walk w = {.search = s, .each = add_id, .user = &list, .max = named ? s->find.limit : 2};
    if (resolve(call->api, s, &call->error) == 0 && walk(call, &w) == 0) {
        struct kp_merge_query query = {.select = store_query(s)};
        if (named) {
            query.ids = (const char *const *)list.ids.items;
            query.n_ids = list.ids.n;
        }
        if (list.ids.n == 0)
            nothing_found(call);
        else if (list.ids.n == 1)
            answer_one(call, s->namespace, list.ids.items[0]);
        else
            answer_merged(call, &query);
        call->content_type = OCTET_STREAM;
        call->file_name = kp_strdup(s->find.type);
    }
    idlist_free(&list);
}

void kp_api_profefe_merge(struct kp_http_exchange *x, void *user)
{
    struct search *s = parse_search(x);
    if (s == NULL)
        return;
    bool trace = kp_streq(s->find.type, "trace");
    if (s->find.type && !trace) {
        kp_call_start_heavy(user, x, KP_API_PROFEFE, 0, merge_work, search_call_finish, s);
        return;
    }
    kp_http_set_header(x, "Allow", "GET, HEAD, POST");
    kp_profefe_error(
        x, 405, trace ? "can't merge profiles of trace type" : "can't merge profiles of unknown type");
    search_finish(s);
    kp_free(s);
}

// ---- one or several by id ----

struct get {
    struct kp_profefe_ids ids;
    char *namespace; // where they have to lie; NULL = anywhere
};

static int check_ids(struct kp_call *call, const struct get *get)
{
    const struct kp_profefe_ids *ids = &get->ids;
    kp_auto_strbuf missing;
    bool opaque = false;
    kp_strbuf_init(&missing, 200);
    for (size_t i = 0; i < ids->n; i++) {
        struct kp_record record;
        int rc =
            kp_store_get_in(call->api->options.store, get->namespace, ids->items[i], &record, NULL, NULL);
        if (rc != 0) {
            kp_strbuf_addf(&missing, "%s%s", missing.len > 0 ? ", " : "", ids->items[i]);
            continue;
        }
        opaque |= kp_streq(record.format, "trace");
        kp_record_finish(&record);
    }
    if (missing.len > 0 || missing.overflow)
        return kp_fail(
            &call->error, KP_NOT_FOUND, "nothing found: %s%s", missing.data, missing.overflow ? " ..." : "");
    return opaque ? kp_fail(&call->error, KP_INVALID, "can't merge profiles of trace type") : 0;
}

static void get_work(struct kp_call *call)
{
    const struct get *get = call->data;
    const struct kp_profefe_ids *ids = &get->ids;
    call->by_id = true;
    call->content_type = OCTET_STREAM;
    call->file_name = kp_strdup(ids->text);
    if (ids->n == 1) {
        answer_one(call, get->namespace, ids->items[0]);
    } else if (check_ids(call, get) == 0) {
        struct kp_merge_query query = {
            .ids = (const char *const *)ids->items, .n_ids = ids->n, .select.namespace = get->namespace};
        answer_merged(call, &query);
    }
}

static void free_get(struct get *get)
{
    kp_profefe_ids_finish(&get->ids);
    kp_free(get->namespace);
    kp_free(get);
}

static void get_finish(struct kp_call *call)
{
    free_get(call->data);
}

void kp_api_profefe_get(struct kp_http_exchange *x, void *user)
{
    struct kp_error err = {0};
    struct get *get = KP_NEW(struct get);
    get->namespace = kp_strdup(kp_api_scope(x)->namespace);
    if (kp_profefe_parse_ids(kp_http_param(x, "ids"), &get->ids, &err) != 0) {
        kp_profefe_error(x, 400, err.text);
        free_get(get);
    } else if (get->ids.n == 1) {
        kp_call_start(user, x, KP_API_PROFEFE, get_work, get_finish, get);
    } else {
        kp_call_start_heavy(user, x, KP_API_PROFEFE, 0, get_work, get_finish, get);
    }
}

// ---- services, version, the rest ----

struct names {
    const char *confined_to; // a namespace; NULL = all
    KP_ARRAY(char *) list;
};

static void on_service(void *user, const struct kp_service_info *info)
{
    struct names *names = user;
    const struct kp_record r = {
        .namespace = (char *)(uintptr_t)info->namespace, .service = (char *)(uintptr_t)info->service};
    *kp_array_add(&names->list) = kp_profefe_service(&r, names->confined_to != NULL);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void services_work(struct kp_call *call)
{
    struct names names = {.confined_to = call->data};
    kp_auto_strbuf out;
    kp_strbuf_init(&out, KP_API_MAX_ANSWER);
    struct kp_json j = {.out = &out};
    int rc = kp_store_services(call->api->options.store, names.confined_to, on_service, &names, &call->error);
    if (rc == 0 && names.list.n == 0)
        nothing_found(call);
    if (names.list.n > 0)
        qsort(names.list.items, names.list.n, sizeof names.list.items[0], by_text);
    kp_json_open(&j, NULL, '{');
    kp_json_int(&j, "code", 200);
    kp_json_open(&j, "body", '[');
    for (size_t i = 0; i < names.list.n; i++) {
        if (i == 0 || !kp_streq(names.list.items[i], names.list.items[i - 1]))
            kp_json_text(&j, NULL, names.list.items[i]);
    }
    for (size_t i = 0; i < names.list.n; i++)
        kp_free(names.list.items[i]);
    kp_array_free(&names.list);
    kp_json_close(&j, ']');
    kp_json_close(&j, '}');
    kp_strbuf_addc(&out, '\n');
    kp_call_body(call, &out);
}

static void services_finish(struct kp_call *call)
{
    kp_free(call->data);
}

void kp_api_profefe_services(struct kp_http_exchange *x, void *user)
{
    char *confined_to = kp_strdup(kp_api_scope(x)->namespace);
    kp_call_start(user, x, KP_API_PROFEFE, services_work, services_finish, confined_to);
}

void kp_api_profefe_version(struct kp_http_exchange *x, void *user)
{
    (void)user;
    kp_http_reply_text(x, 200, "application/json",
        "{\"code\":200,\"body\":{\"version\":\"kube-pprof " KP_VERSION
        "\",\"commit\":\"\",\"build_time\":\"\",\"go_version\":\"C " __VERSION__ "\"}}\n");
}

void kp_api_profefe_nothing(struct kp_http_exchange *x, void *user)
{
    (void)user;
    kp_profefe_error(x, 404, "nothing found");
}

void kp_api_profefe_not_a_method(struct kp_http_exchange *x, void *user)
{
    (void)user;
    kp_http_set_header(x, "Allow", "GET, HEAD, POST");
    kp_profefe_error(x, 405, "this path does not know the method");
}
