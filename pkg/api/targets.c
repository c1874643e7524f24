// Targets as the controller posted them.
#include <string.h>

#include "api/json.h"
#include "api/state.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/text.h"
#include "base/banned.h"

#define DEFAULT_LIMIT 1000
#define STALE_MS      (INT64_C(24) * 3600 * 1000) // a namespace nobody speaks of any more

// ---- post ----

struct post {
    struct kp_blob *body;
    char *namespace;
    int64_t time_ms;
    bool empty;
};

static void post_work(struct kp_call *call)
{
    struct post *p = call->data;
    struct kp_state_batch batch;
    if (kp_state_batch_decode(p->body->data, p->body->len, &batch, &call->error) != 0) {
        call->error.code = KP_INVALID; // theirs, not ours
        return;
    }
    p->namespace = kp_strdup(batch.namespace ? batch.namespace : "");
    p->time_ms = batch.time_ms;
    p->empty = batch.targets.n == 0;
    kp_state_batch_finish(&batch);
    call->status = 204;
}

static void post_finish(struct kp_call *call)
{
    struct post *p = call->data;
    if (call->error.code == 0)
        kp_states_put(call->api->states, p->namespace, p->time_ms, p->empty ? NULL : p->body);
    kp_blob_unref(p->body);
    kp_free(p->namespace);
    kp_free(p);
}

void kp_api_post_targets(struct kp_http_exchange *x, void *user)
{
    const char *type = kp_http_header(x, "Content-Type");
    if (type == NULL || strncmp(type, KP_STATE_MEDIA_TYPE, strlen(KP_STATE_MEDIA_TYPE)) != 0) {
        kp_http_reply_status(
            x, 415, "UnsupportedMediaType", "target states are sent as " KP_STATE_MEDIA_TYPE);
        return;
    }
    struct post *p = KP_NEW(struct post);
    p->body = kp_blob_ref(kp_http_body(x));
    kp_call_start(user, x, KP_API_NATIVE, post_work, post_finish, p);
}

// ---- list ----

struct listing {
    struct kp_state_entry *entries;
    size_t n;
    char *pod, *policy;
    size_t skip, limit;
    size_t seen; // matching ones so far
};

static bool has_policy(const char *policies, const char *policy)
{
    size_t len = strlen(policy);
    for (const char *p = policies ? policies : ""; *p;) {
        size_t n = strcspn(p, ",");
        if (n == len && strncmp(p, policy, len) == 0)
            return true;
        p += n + (p[n] == ',');
    }
    return false;
}

// False when the page is full.
static bool write_batch(
    struct listing *l, const char *namespace, const struct kp_state_batch *batch, struct kp_json *j)
{
    for (size_t i = 0; i < batch->targets.n; i++) {
        const struct kp_target_state *t = &batch->targets.items[i];
        if ((l->pod && !kp_streq(l->pod, t->pod)) || (l->policy && !has_policy(t->policies, l->policy)))
            continue;
        if (l->seen >= l->skip + l->limit)
            return false;
        if (l->seen++ >= l->skip)
            kp_json_target(j, namespace, batch->time_ms, t);
    }
    return true;
}

static void list_work(struct kp_call *call)
{
    struct listing *l = call->data;
    kp_auto_strbuf buf;
    kp_strbuf_init(&buf, KP_API_MAX_ANSWER);
    struct kp_json j = {.out = &buf};
    bool complete = true;
    bool truncated = false;
    kp_json_open(&j, NULL, '{');
    kp_json_open(&j, "items", '[');
    for (size_t i = 0; complete && i < l->n; i++) {
        struct kp_state_batch batch;
        if (kp_state_batch_decode(
                l->entries[i].encoded->data, l->entries[i].encoded->len, &batch, &call->error) != 0)
            return;
        truncated |= batch.truncated;
        complete = write_batch(l, l->entries[i].namespace, &batch, &j);
        kp_state_batch_finish(&batch);
    }
    kp_json_close(&j, ']');
    kp_auto_free char *cursor = complete ? NULL : kp_asprintf("%zu", l->seen);
    kp_json_text(&j, "cursor", cursor);
    if (truncated)
        kp_json_bool(&j, "truncated", true);
    kp_json_close(&j, '}');
    kp_call_body(call, &buf);
}

static void list_finish(struct kp_call *call)
{
    struct listing *l = call->data;
    kp_state_entries_free(l->entries, l->n);
    kp_free(l->pod);
    kp_free(l->policy);
    kp_free(l);
}

void kp_api_list_targets(struct kp_http_exchange *x, void *user)
{
    struct kp_api *api = user;
    struct kp_error err = {0};
    struct kp_query q;
    int64_t skip = 0;
    int rc = kp_query_parse(x, KP_Q_TARGETS, api->options.now_ms(), &q, &err);
    if (rc == 0 && q.cursor && kp_parse_int(q.cursor, 0, INT32_MAX, &skip, &err) != 0)
        rc = kp_wrap(&err, "cursor");
    if (rc != 0) {
        kp_http_reply_error(x, &err);
        kp_query_finish(&q);
        return;
    }
    struct listing *l = KP_NEW(struct listing);
    l->skip = (size_t)skip;
    l->limit = q.limit > 0 ? (size_t)q.limit : DEFAULT_LIMIT;
    l->pod = kp_take(q.pod);
    l->policy = kp_take(q.policy);
    l->entries = kp_states_snapshot(api->states, q.namespace, api->options.now_ms() - STALE_MS, &l->n);
    kp_query_finish(&q);
    kp_call_start(api, x, KP_API_NATIVE, list_work, list_finish, l);
}
