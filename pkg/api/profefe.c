// POST /api/0/profiles as profefe has it: parameters, checks in its order, its envelope.
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "api/json.h"
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

static void write_profile(struct kp_json *j, const struct kp_record *r)
{
    char time[KP_TIME_TEXT];
    kp_json_open(j, "body", '{');
    kp_json_text(j, "id", r->id);
    kp_json_text(j, "type", r->type);
    kp_json_text(j, "service", r->service);
    if (r->labels && r->labels->n > 0) {
        kp_json_open(j, "labels", '[');
        for (size_t i = 0; i < r->labels->n; i++) {
            kp_json_open(j, NULL, '{');
            kp_json_text(j, "key", r->labels->items[i].key);
            kp_json_text(j, "value", r->labels->items[i].value);
            kp_json_close(j, '}');
        }
        kp_json_close(j, ']');
    }
    kp_json_text(j, "created_at", kp_time_format(time, r->start_ms));
    kp_json_close(j, '}');
}

void kp_profefe_answer(struct kp_http_exchange *x, const struct kp_upload *u)
{
    if (u->status == 422) {
        bool empty = kp_streq(u->reason, "Empty");
        kp_auto_free char *text = kp_asprintf("malformed profile (could not parse pprof profile: %s)",
            empty ? "profile is empty: no samples" : u->error.text);
        kp_profefe_error(x, 400, text);
    } else if (u->status == 507 || u->status == 429) {
        kp_http_set_header(x, "Retry-After", "1"); // overload is 429 here, never 5xx
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
        write_profile(&j, &u->record);
        kp_json_close(&j, '}');
        reply(x, 200, &buf);
    }
}

// ---- parameters ----

// Labels are unescaped a second time, query style; a copy, or NULL on a bad escape.
static char *unescape(const char *s, size_t len)
{
    while (len > 0 && (*s == ' ' || *s == '\t'))
        s++, len--;
    while (len > 0 && (s[len - 1] == ' ' || s[len - 1] == '\t'))
        len--;
    kp_auto_free char *spaced = kp_strndup(s, len);
    for (char *p = spaced; *p; p++)
        if (*p == '+')
            *p = ' ';
    kp_auto_free char *out = kp_alloc(len + 1);
    return kp_url_decode(spaced, len, out) ? kp_take(out) : NULL;
}

struct pairs {
    KP_ARRAY(struct kp_label) list;
};

static void pairs_free(struct pairs *p)
{
    for (size_t i = 0; i < p->list.n; i++) {
        kp_free((char *)(uintptr_t)p->list.items[i].key);
        kp_free((char *)(uintptr_t)p->list.items[i].value);
    }
    kp_array_free(&p->list);
}

static bool take_pair(const char *text, size_t len, struct pairs *ret)
{
    const char *equals = memchr(text, '=', len);
    size_t key_len = equals ? (size_t)(equals - text) : len;
    char *key = unescape(text, key_len);
    char *value = equals ? unescape(equals + 1, len - key_len - 1) : kp_strdup("");
    if (key == NULL || value == NULL || key[0] == '\0') {
        bool skipped = key && value;
        kp_free(key);
        kp_free(value);
        return skipped;
    }
    *kp_array_add(&ret->list) = (struct kp_label){key, value};
    return true;
}

static int parse_labels(const char *text, struct kp_labels **ret, struct kp_error *err)
{
    struct pairs pairs = {0};
    int rc = 0;
    for (const char *p = text; *p && rc == 0;) {
        size_t len = strcspn(p, ",");
        if (pairs.list.n == KP_MAX_LABELS)
            rc = kp_fail(err, KP_INVALID, "bad request: bad \"labels\": more than %d of them", KP_MAX_LABELS);
        else if (!take_pair(p, len, &pairs))
            rc = kp_fail(err, KP_INVALID, "bad request: bad \"labels\" \"%.100s\": invalid URL escape", text);
        p += len + (p[len] == ',');
    }
    if (rc == 0)
        *ret = kp_labels_create(pairs.list.items, pairs.list.n);
    pairs_free(&pairs);
    return rc;
}

// "2006-01-02T15:04:05" with or without a fraction, UTC, nothing else.
static int parse_created_at(const char *text, int64_t *ret_ms, struct kp_error *err)
{
    size_t len = strlen(text);
    bool shape =
        len >= 19 && len < 40 && strspn(text, "0123456789-:T.") == len && (len == 19 || text[19] == '.');
    kp_auto_free char *zulu = kp_asprintf("%.40sZ", text);
    if (!shape || kp_time_parse(zulu, ret_ms, NULL) != 0)
        return kp_fail(err, KP_INVALID,
            "bad request: bad \"created_at\" \"%.60s\": time in unsupported format \"%.60s\"", text, text);
    return 0;
}

static bool type_known(const char *type)
{
    static const char *const types[] = {
        "cpu", "heap", "block", "mutex", "goroutine", "threadcreate", "other", "trace"};
    for (size_t i = 0; i < KP_COUNT(types); i++)
        if (kp_streq(types[i], type))
            return true;
    return false;
}

static int parse(
    struct kp_http_exchange *x, struct kp_record *ret, int64_t *ret_created_ms, struct kp_error *err)
{
    const char *service = kp_http_arg(x, "service");
    const char *labels = kp_http_arg(x, "labels");
    const char *created = kp_http_arg(x, "created_at");
    const char *type = kp_http_arg(x, "type");
    kp_record_init(ret);
    if (service == NULL || service[0] == '\0')
        return kp_fail(err, KP_INVALID, "bad request: missing \"service\"");
    ret->service = kp_strdup(service);
    if (labels && parse_labels(labels, &ret->labels, err) != 0)
        return err->code;
    if (created && created[0] && parse_created_at(created, ret_created_ms, err) != 0)
        return err->code;
    kp_auto_free char *trimmed = type ? unescape(type, strlen(type)) : NULL;
    if (!type_known(trimmed))
        return kp_fail(err, KP_INVALID, "bad request: unknown profile type");
    ret->type = kp_take(trimmed);
    ret->format = kp_strdup(kp_streq(ret->type, "trace") ? "trace" : "pprof");
    return 0;
}

void kp_api_post_profefe(struct kp_http_exchange *x, void *user)
{
    struct kp_record record = {0};
    struct kp_error err = {0};
    int64_t created_ms = 0;
    if (parse(x, &record, &created_ms, &err) != 0) {
        kp_profefe_error(x, 400, err.text);
        kp_record_finish(&record);
        return;
    }
    kp_api_upload(user, x, KP_API_PROFEFE, &record, created_ms, false);
}
