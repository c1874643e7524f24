#include "api/profefe_args.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/banned.h"

#define MAX_IDS 4096

void kp_profefe_args_parse(struct kp_http_query *ret, const char *query)
{
    struct kp_strbuf kept;
    kp_strbuf_init(&kept, strlen(query) + 2);
    while (*query != '\0') {
        size_t len = strcspn(query, "&");
        if (memchr(query, ';', len) == NULL) {
            kp_strbuf_add(&kept, query, len);
            kp_strbuf_addc(&kept, '&');
        }
        query += len + (query[len] == '&');
    }
    kp_http_query_parse(ret, kept.data);
    kp_strbuf_finish(&kept);
}

// ---- types ----

bool kp_profefe_type_known(const char *type)
{
    static const char *const types[] = {
        "cpu", "heap", "block", "mutex", "goroutine", "threadcreate", "other", "trace"};
    for (size_t i = 0; i < KP_COUNT(types); i++)
        if (kp_streq(types[i], type))
            return true;
    return false;
}

const char *kp_profefe_type_shown(const char *type)
{
    return kp_profefe_type_known(type) ? type : "other";
}

// ---- labels ----

static void trim(const char **s, size_t *len)
{
    while (*len > 0 && (**s == ' ' || **s == '\t'))
        (*s)++, (*len)--;
    while (*len > 0 && ((*s)[*len - 1] == ' ' || (*s)[*len - 1] == '\t'))
        (*len)--;
}

// The first bad escape of a text, as Go's library quotes it; NULL if all are good.
static const char *bad_escape(const char *s, char out[4])
{
    static const char hex[] = "0123456789abcdefABCDEF";
    for (; (s = strchr(s, '%')) != NULL; s += 3) {
        bool good = s[1] != '\0' && s[2] != '\0' && strchr(hex, s[1]) && strchr(hex, s[2]) &&
                    !(s[1] == '0' && s[2] == '0');
        if (!good) {
            kp_copy(out, 4, s);
            return out;
        }
    }
    return NULL;
}

// Labels are unescaped a second time, query style; a copy, or NULL on a bad escape.
static char *unescape(const char *s, size_t len, struct kp_error *err)
{
    char escape[4];
    trim(&s, &len);
    kp_auto_free char *spaced = kp_strndup(s, len);
    for (char *p = spaced; *p; p++)
        if (*p == '+')
            *p = ' ';
    if (bad_escape(spaced, escape) != NULL) {
        kp_fail(err, KP_INVALID, "invalid URL escape \"%s\"", escape);
        return NULL;
    }
    kp_auto_free char *out = kp_alloc(len + 1);
    return kp_url_decode(spaced, strlen(spaced), out) ? kp_take(out) : NULL;
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

// A key that comes again: its values are kept together.
static void put_pair(struct pairs *pairs, char *key, char *value)
{
    for (size_t i = 0; i < pairs->list.n; i++) {
        struct kp_label *l = &pairs->list.items[i];
        if (!kp_streq(l->key, key))
            continue;
        char *joined = kp_asprintf("%s" KP_LABEL_JOIN "%s", l->value, value);
        kp_free((char *)(uintptr_t)l->value);
        l->value = joined;
        kp_free(key);
        kp_free(value);
        return;
    }
    *kp_array_add(&pairs->list) = (struct kp_label){key, value};
}

static bool take_pair(const char *text, size_t len, struct pairs *ret, struct kp_error *err)
{
    const char *equals = memchr(text, '=', len);
    size_t key_len = equals ? (size_t)(equals - text) : len;
    kp_auto_free char *key = unescape(text, key_len, err);
    kp_auto_free char *value = equals ? unescape(equals + 1, len - key_len - 1, err) : kp_strdup("");
    if (key == NULL || value == NULL)
        return false;
    if (key[0] != '\0')
        put_pair(ret, kp_take(key), kp_take(value));
    return true;
}

static int parse_labels(const char *text, struct kp_labels **ret, struct kp_error *err)
{
    struct pairs pairs = {0};
    int rc = 0;
    int n = 0;
    for (const char *p = text; *p && rc == 0;) {
        struct kp_error why = {0};
        size_t len = strcspn(p, ",");
        if (n++ == 4 * KP_MAX_LABELS || pairs.list.n > KP_MAX_LABELS)
            rc = kp_fail(err, KP_INVALID, "bad request: bad \"labels\": more than %d of them", KP_MAX_LABELS);
        else if (!take_pair(p, len, &pairs, &why))
            rc = kp_fail(err, KP_INVALID, "bad request: bad \"labels\" \"%.100s\": %s", text, why.text);
        p += len + (p[len] == ',');
    }
    if (rc == 0)
        *ret = kp_labels_create(pairs.list.items, pairs.list.n);
    pairs_free(&pairs);
    return rc;
}

// Pushed profiles have no system fields: their labels stand for them.
static const char *system_key(const char *key, bool in_cluster, bool plain_names)
{
    static const char *const rows[][2] = {
        {"pod", "k8s.pod|pod"}, {"container", "k8s.container|container"}, {"namespace", "k8s.namespace"}};
    size_t n = !in_cluster ? 0 : plain_names ? 2 : 3;
    for (size_t i = 0; i < n; i++)
        if (kp_streq(rows[i][0], key))
            return rows[i][1];
    return key;
}

int kp_profefe_selector(const struct kp_labels *labels, bool in_cluster, bool plain_names,
    struct kp_selector **ret, struct kp_error *err)
{
    struct kp_requirement reqs[4 * KP_MAX_LABELS];
    size_t n = 0, size = 1;
    *ret = NULL;
    for (size_t i = 0; labels && i < labels->n; i++)
        size += strlen(labels->items[i].value) + 1;
    kp_auto_free char *text = kp_alloc(size);
    char *at = text;
    const char *values[4 * KP_MAX_LABELS];
    for (size_t i = 0; labels && i < labels->n; i++) {
        const char *key = system_key(labels->items[i].key, in_cluster, plain_names);
        for (const char *v = labels->items[i].value; v && n < KP_COUNT(reqs);) {
            const char *end = strstr(v, KP_LABEL_JOIN);
            size_t len = end ? (size_t)(end - v) : strlen(v);
            memcpy(at, v, len);
            at[len] = '\0';
            values[n] = at;
            at += len + 1;
            reqs[n] = (struct kp_requirement){
                .key = key, .op = KP_SELECTOR_HAS, .n_values = 1, .values = &values[n]};
            n++;
            v = end ? end + strlen(KP_LABEL_JOIN) : NULL;
        }
    }
    return n > 0 ? kp_selector_create(reqs, n, ret, err) : 0;
}

// ---- times and numbers ----

// "2006-01-02T15:04:05" with or without a fraction, UTC, nothing else.
static bool parse_time(const char *text, int64_t *ret_ms)
{
    size_t len = strlen(text);
    bool shape =
        len >= 19 && len < 40 && strspn(text, "0123456789-:T.") == len && (len == 19 || text[19] == '.');
    kp_auto_free char *zulu = kp_asprintf("%.40sZ", text);
    return shape && kp_time_parse(zulu, ret_ms, NULL) == 0 && !kp_streq(text, "0001-01-01T00:00:00");
}

// As Go prints a time: a blank, the zone, no zeros at the end of the fraction.
static char *shown_time(const char *text)
{
    size_t len = strlen(text);
    if (len > 19)
        len = len > 29 ? 29 : len;
    while (len > 19 && text[len - 1] == '0')
        len--;
    len = len == 20 ? 19 : len;
    char *out = kp_asprintf("%.*s +0000 UTC", (int)len, text);
    out[10] = ' ';
    return out;
}

static int parse_range(const struct kp_http_query *args, const char *name, const char **ret_text,
    int64_t *ret_ms, struct kp_error *err)
{
    const char *text = kp_http_query_get(args, name);
    if (text == NULL || text[0] == '\0')
        return kp_fail(err, KP_INVALID, "bad request: missing \"%s\"", name);
    if (!parse_time(text, ret_ms))
        return kp_fail(err, KP_INVALID,
            "bad request: bad \"%s\" timestamp \"%.60s\": time in unsupported format \"%.60s\"", name, text,
            text);
    *ret_text = text;
    return 0;
}

// strconv.Atoi
static int parse_limit(const char *text, int64_t *ret, struct kp_error *err)
{
    if (text == NULL || text[0] == '\0')
        return 0;
    const char *digits = text + (text[0] == '+' || text[0] == '-');
    bool number = digits[0] != '\0' && strspn(digits, "0123456789") == strlen(digits);
    if (!number || kp_parse_int(digits, 0, INT64_MAX, ret, NULL) != 0)
        return kp_fail(err, KP_INVALID,
            "bad request: bad \"limit\" \"%.40s\": strconv.Atoi: parsing \"%.40s\": %s", text, text,
            number ? "value out of range" : "invalid syntax");
    if (text[0] == '-')
        *ret = 0;
    return 0;
}

// ---- whole requests ----

static int parse_who(
    const struct kp_http_query *args, char **ret_service, struct kp_labels **ret_labels, struct kp_error *err)
{
    const char *service = kp_http_query_get(args, "service");
    const char *labels = kp_http_query_get(args, "labels");
    if (service == NULL || service[0] == '\0')
        return kp_fail(err, KP_INVALID, "bad request: missing \"service\"");
    *ret_service = kp_strdup(service);
    return labels ? parse_labels(labels, ret_labels, err) : 0;
}

static char *known_type(const struct kp_http_query *args)
{
    const char *type = kp_http_query_get(args, "type");
    if (type == NULL)
        return NULL;
    size_t len = strlen(type);
    trim(&type, &len);
    kp_auto_free char *trimmed = kp_strndup(type, len);
    return kp_profefe_type_known(trimmed) ? kp_take(trimmed) : NULL;
}

static int parse_upload(
    const struct kp_http_query *args, struct kp_record *ret, int64_t *ret_created_ms, struct kp_error *err)
{
    const char *created = kp_http_query_get(args, "created_at");
    if (parse_who(args, &ret->service, &ret->labels, err) != 0)
        return err->code;
    if (created && created[0] && !parse_time(created, ret_created_ms))
        return kp_fail(err, KP_INVALID,
            "bad request: bad \"created_at\" \"%.60s\": time in unsupported format \"%.60s\"", created,
            created);
    ret->type = known_type(args);
    if (ret->type == NULL)
        return kp_fail(err, KP_INVALID, "bad request: unknown profile type");
    ret->format = kp_strdup(kp_streq(ret->type, "trace") ? "trace" : "pprof");
    return 0;
}

int kp_profefe_parse_upload(
    const char *query, struct kp_record *ret, int64_t *ret_created_ms, struct kp_error *err)
{
    struct kp_http_query args;
    kp_record_init(ret);
    *ret_created_ms = 0;
    kp_profefe_args_parse(&args, query);
    int rc = parse_upload(&args, ret, ret_created_ms, err);
    kp_http_query_finish(&args);
    return rc;
}

static int parse_find(const struct kp_http_query *args, struct kp_profefe_find *ret, struct kp_error *err)
{
    const char *from = NULL, *to = NULL;
    int64_t to_ms = 0;
    if (parse_who(args, &ret->service, &ret->labels, err) != 0 ||
        parse_range(args, "from", &from, &ret->from_ms, err) != 0 ||
        parse_range(args, "to", &to, &to_ms, err) != 0 ||
        parse_limit(kp_http_query_get(args, "limit"), &ret->limit, err) != 0)
        return err->code;
    if (ret->from_ms > to_ms) {
        kp_auto_free char *min = shown_time(from);
        kp_auto_free char *max = shown_time(to);
        return kp_fail(err, KP_INVALID, "bad request: CreatedAtMin after CreatedAtMax: %s, %s", min, max);
    }
    ret->type = known_type(args);
    ret->to_ms = to_ms + (strlen(to) == 19 ? 1000 : 1); // a whole second counts to its end
    ret->from_ms = ret->from_ms < 1 ? 1 : ret->from_ms;
    ret->to_ms = ret->to_ms < 1 ? 1 : ret->to_ms;
    return 0;
}

int kp_profefe_parse_find(const char *query, struct kp_profefe_find *ret, struct kp_error *err)
{
    struct kp_http_query args;
    *ret = (struct kp_profefe_find){0};
    kp_profefe_args_parse(&args, query);
    int rc = parse_find(&args, ret, err);
    kp_http_query_finish(&args);
    return rc;
}

void kp_profefe_find_finish(struct kp_profefe_find *find)
{
    kp_free(find->service);
    kp_free(find->type);
    kp_labels_destroy(find->labels);
}

// ---- ids ----

int kp_profefe_parse_ids(const char *segment, struct kp_profefe_ids *ret, struct kp_error *err)
{
    char escape[4];
    *ret = (struct kp_profefe_ids){0};
    if (bad_escape(segment, escape) != NULL)
        return kp_fail(err, KP_INVALID, "invalid URL escape \"%s\"", escape);
    ret->text = kp_alloc(strlen(segment) + 1);
    kp_url_decode(segment, strlen(segment), ret->text);
    for (const char *p = ret->text;; p++) {
        size_t len = strcspn(p, "+");
        if (ret->n == MAX_IDS)
            return kp_fail(err, KP_INVALID, "more than %d ids", MAX_IDS);
        ret->items = kp_grow(ret->items, ret->n + 1, sizeof *ret->items);
        ret->items[ret->n++] = kp_strndup(p, len);
        if (len == 0)
            return kp_fail(err, KP_INVALID, "bad request: an empty id stands between or beside '+'");
        p += len;
        if (*p == '\0')
            return 0;
    }
}

void kp_profefe_ids_finish(struct kp_profefe_ids *ids)
{
    for (size_t i = 0; i < ids->n; i++)
        kp_free(ids->items[i]);
    kp_free(ids->items);
    kp_free(ids->text);
}
