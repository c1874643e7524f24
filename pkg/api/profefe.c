// profefe's API: its envelope, its errors, POST /api/0/profiles.
#include <stdlib.h>
#include <string.h>

#include "api/profefe_args.h"
#include "api/state.h"
#include "base/alloc.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/text.h"
#include "base/banned.h"

static void reply(struct kp_http_exchange *x, int status, struct kp_strbuf *buf)
{
    kp_strbuf_addc(buf, '\n');
    kp_http_reply_text(x, status, "application/json", buf->data);
    kp_strbuf_finish(buf);
}

void kp_profefe_error(struct kp_http_exchange *x, int status, const char *message)
{
    struct kp_strbuf buf;
    kp_strbuf_init(&buf, 64 * KP_KIB);
    struct kp_json j = {.out = &buf};
    kp_json_open(&j, NULL, '{');
    kp_json_int(&j, "code", status);
    kp_json_text(&j, "error", message);
    kp_json_close(&j, '}');
    reply(x, status, &buf);
}

// Agents stop for minutes on 5xx: what is overload or passes is 429.
void kp_profefe_fail(struct kp_http_exchange *x, const struct kp_error *err)
{
    bool later = err->code == KP_THROTTLED || err->code == KP_UNAVAILABLE || err->code == KP_TIMEOUT ||
                 err->code == KP_CANCELED;
    int status = later ? 429 : kp_http_status_of(err->code);
    if (later)
        kp_http_set_header(x, "Retry-After", "2");
    kp_profefe_error(x, status, status >= 500 ? "internal server error" : err->text);
}

// ---- a profile's description ----

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct kp_label *)a)->key, ((const struct kp_label *)b)->key);
}

static void write_label(struct kp_json *j, const char *key, const char *value)
{
    kp_json_open(j, NULL, '{');
    kp_json_text(j, "key", key);
    kp_json_text(j, "value", value);
    kp_json_close(j, '}');
}

// Several values of one key are as many labels.
static void write_values(struct kp_json *j, const char *key, const char *values)
{
    for (;;) {
        const char *end = strstr(values, KP_LABEL_JOIN);
        kp_auto_free char *value = kp_strndup(values, end ? (size_t)(end - values) : strlen(values));
        write_label(j, key, value);
        if (end == NULL)
            return;
        values = end + strlen(KP_LABEL_JOIN);
    }
}

static void write_labels(struct kp_json *j, const struct kp_record *r, bool plain_names)
{
    const struct kp_label stamped[] = {
        {"container", r->container}, {"namespace", plain_names ? NULL : r->namespace}, {"pod", r->pod}};
    KP_ARRAY(struct kp_label) all = {0};
    for (size_t i = 0; r->namespace && r->namespace[0] && i < KP_COUNT(stamped); i++)
        if (stamped[i].value && stamped[i].value[0])
            *kp_array_add(&all) = stamped[i];
    size_t n_stamped = all.n;
    for (size_t i = 0; r->labels && i < r->labels->n; i++) {
        bool taken = false;
        for (size_t s = 0; s < n_stamped; s++)
            taken |= kp_streq(all.items[s].key, r->labels->items[i].key);
        if (!taken)
            *kp_array_add(&all) = r->labels->items[i];
    }
    if (all.n > 0) {
        qsort(all.items, all.n, sizeof all.items[0], by_key);
        kp_json_open(j, "labels", '[');
        for (size_t i = 0; i < all.n; i++)
            write_values(j, all.items[i].key, all.items[i].value);
        kp_json_close(j, ']');
    }
    kp_array_free(&all);
}

char *kp_profefe_service(const struct kp_record *r, bool plain_names)
{
    bool in_front = r->namespace && r->namespace[0] && !plain_names;
    return in_front ? kp_asprintf("%s/%s", r->namespace, r->service) : kp_strdup(r->service);
}

const char *kp_profefe_own_service(const char *service, const char *namespace)
{
    size_t len = strlen(namespace);
    bool own = strncmp(service, namespace, len) == 0 && service[len] == '/' && service[len + 1] != '\0';
    return own ? service + len + 1 : service;
}

void kp_profefe_profile(struct kp_json *j, const char *key, const struct kp_record *r, bool plain_names)
{
    char time[KP_TIME_TEXT];
    kp_auto_free char *service = kp_profefe_service(r, plain_names);
    kp_json_open(j, key, '{');
    kp_json_text(j, "id", r->id);
    kp_json_text(j, "type", kp_profefe_type_shown(r->type));
    kp_json_text(j, "service", service);
    write_labels(j, r, plain_names);
    kp_json_text(j, "created_at", kp_time_format(time, r->start_ms ? r->start_ms : r->received_ms));
    kp_json_close(j, '}');
}

// ---- upload ----

// What the original says of bytes it cannot read, by the beginning of what we say.
static const char *worded(const char *text)
{
    static const struct {
        const char *ours, *theirs;
    } rows[] = {
        {"not a pprof profile: there are no bytes", "parsing profile: empty input file"},
        {"not a pprof profile", "parsing profile: unrecognized profile format"},
        {"the profile has no samples", "profile is empty: no samples"},
        {"concatenated profiles", "parsing profile: concatenated profiles detected"},
        {"gzip data is cut short", "decompressing profile: unexpected EOF"},
        {"gzip data is broken: incorrect data check", "decompressing profile: gzip: invalid checksum"},
    };
    for (size_t i = 0; i < KP_COUNT(rows); i++)
        if (kp_starts_with(text, rows[i].ours))
            return rows[i].theirs;
    return text;
}

void kp_profefe_answer(struct kp_http_exchange *x, const struct kp_upload *u)
{
    if (u->status == 422) {
        kp_auto_free char *text =
            kp_asprintf("malformed profile (could not parse pprof profile: %s)", worded(u->error.text));
        kp_profefe_error(x, 400, text);
    } else if (u->status == 507 || u->status == 503 ||
               u->status == 429) { // what passes is 429 here, never 5xx
        kp_profefe_error(x, 429, u->error.text);
    } else if (u->status >= 500) {
        kp_profefe_error(x, u->status, "failed to collect profile");
    } else if (u->status != 0) {
        kp_profefe_error(x, u->status, u->error.text);
    } else {
        struct kp_strbuf buf;
        kp_strbuf_init(&buf, KP_MIB);
        struct kp_json j = {.out = &buf};
        kp_json_open(&j, NULL, '{');
        kp_json_int(&j, "code", 200);
        kp_profefe_profile(&j, "body", &u->record, u->plain_names);
        kp_json_close(&j, '}');
        reply(x, 200, &buf);
    }
}

void kp_api_post_profefe(struct kp_http_exchange *x, void *user)
{
    struct kp_record record = {0};
    struct kp_error err = {0};
    int64_t created_ms = 0;
    if (kp_profefe_parse_upload(kp_http_query(x), &record, &created_ms, &err) != 0 ||
        (kp_api_check_labels(record.labels, &err) != 0 &&
            kp_wrap(&err, "bad request: bad \"labels\"") != 0)) {
        kp_profefe_error(x, 400, err.text);
        kp_record_finish(&record);
        return;
    }
    const char *namespace = kp_api_scope(x)->namespace;
    if (namespace) {
        char *own = kp_strdup(kp_profefe_own_service(record.service, namespace));
        kp_free(record.service);
        record.service = own;
    }
    kp_api_upload(user, x, KP_API_PROFEFE, &record, created_ms, false);
}
