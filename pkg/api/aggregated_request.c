#include <jansson.h>
#include <string.h>

#include "api/aggregated.h"
#include "base/alloc.h"
#include "base/array.h"
#include "base/text.h"
#include "base/banned.h"

#define MAX_FIELDS 32

// ---- paths ----

bool kp_agg_is_path(const char *path)
{
    static const char *const roots[] = {"apis", "openapi"};
    path += strspn(path, "/"); // one that is wrong is still ours
    for (size_t i = 0; i < KP_COUNT(roots); i++) {
        size_t n = strlen(roots[i]);
        if (strncmp(path, roots[i], n) == 0 && (path[n] == '/' || path[n] == '\0'))
            return true;
    }
    return false;
}

static bool is_good_segment(const char *segment, size_t len, char *room)
{
    if (len == 0 || !kp_url_decode(segment, len, room))
        return false;
    for (const char *p = room; *p; p++)
        if (*p == '/' || (unsigned char)*p < ' ' || *p == 0x7f)
            return false;
    return !kp_streq(room, ".") && !kp_streq(room, "..");
}

bool kp_agg_path_is_strict(const char *path)
{
    kp_auto_free char *room = kp_alloc(strlen(path) + 1);
    if (path[0] != '/')
        return false;
    while (*path == '/') {
        size_t len = strcspn(++path, "/");
        if (!is_good_segment(path, len, room))
            return false;
        path += len;
    }
    return true;
}

bool kp_agg_is_watch(const char *value)
{
    return value && strcasecmp(value, "false") != 0 && !kp_streq(value, "0");
}

// ---- Accept ----

// A range of an Accept header with the parameters that mean something here.
struct range {
    char type[64], as[64], group[64], version[16];
    bool refused; // q=0
};

static void copy_trimmed(char *out, size_t size, const char *s, size_t len)
{
    while (len > 0 && (*s == ' ' || *s == '\t')) {
        s++;
        len--;
    }
    while (len > 0 && (s[len - 1] == ' ' || s[len - 1] == '\t'))
        len--;
    size_t n = len < size ? len : 0; // what is too long is none of ours
    memcpy(out, s, n);
    out[n] = '\0';
}

static void take_param(struct range *range, const char *s, size_t len)
{
    char name[16];
    char value[64];
    const char *equals = memchr(s, '=', len);
    if (equals == NULL)
        return;
    copy_trimmed(name, sizeof name, s, (size_t)(equals - s));
    copy_trimmed(value, sizeof value, equals + 1, len - (size_t)(equals + 1 - s));
    if (kp_streq(name, "as"))
        kp_copy(range->as, sizeof range->as, value);
    else if (kp_streq(name, "g"))
        kp_copy(range->group, sizeof range->group, value);
    else if (kp_streq(name, "v"))
        (void)!kp_copy(range->version, sizeof range->version, value);
    else if (kp_streq(name, "q"))
        range->refused = strspn(value, "0.") == strlen(value);
}

// Takes the next range; where the one behind it begins, or NULL at the end.
static const char *next_range(const char *s, struct range *ret)
{
    size_t len = strcspn(s, ",");
    const char *end = s + len;
    bool is_type = true;
    *ret = (struct range){0};
    for (const char *p = s; p <= end;) {
        size_t n = (size_t)(end - p);
        const char *semicolon = memchr(p, ';', n);
        n = semicolon ? (size_t)(semicolon - p) : n;
        if (is_type)
            copy_trimmed(ret->type, sizeof ret->type, p, n);
        else
            take_param(ret, p, n);
        is_type = false;
        p += n + 1;
    }
    return *end == ',' ? end + 1 : NULL;
}

static bool is_json(const struct range *range)
{
    return !range->refused && (strcasecmp(range->type, "application/json") == 0 ||
                                  kp_streq(range->type, "application/*") || kp_streq(range->type, "*/*"));
}

static bool read_range(const struct range *range, struct kp_agg_accept *ret)
{
    bool table = kp_streq(range->as, "Table");
    bool metadata =
        kp_streq(range->as, "PartialObjectMetadata") || kp_streq(range->as, "PartialObjectMetadataList");
    *ret = (struct kp_agg_accept){.form = table      ? KP_AGG_TABLE
                                          : metadata ? KP_AGG_METADATA
                                                     : KP_AGG_OBJECT,
        .beta = kp_streq(range->version, "v1beta1")};
    if (!is_json(range))
        return false;
    if (range->as[0] == '\0')
        return true;
    return (table || metadata) && kp_streq(range->group, "meta.k8s.io") &&
           (ret->beta || kp_streq(range->version, "v1"));
}

int kp_agg_accept_parse(const char *accept, struct kp_agg_accept *ret, struct kp_error *err)
{
    struct range range;
    *ret = (struct kp_agg_accept){0};
    if (accept == NULL || accept[strspn(accept, " \t")] == '\0')
        return 0;
    for (const char *s = accept; s;) {
        struct kp_agg_accept found;
        s = next_range(s, &range);
        if (read_range(&range, &found)) {
            *ret = found;
            return 0;
        }
    }
    return kp_fail(err, KP_INVALID, "only application/json is given here, also as Table of meta.k8s.io/v1");
}

bool kp_agg_wants_discovery(const char *accept)
{
    struct range range;
    for (const char *s = accept; s;) {
        s = next_range(s, &range);
        if (is_json(&range) && kp_streq(range.group, "apidiscovery.k8s.io") &&
            kp_streq(range.version, "v2") && kp_streq(range.as, "APIGroupDiscoveryList"))
            return true;
    }
    return false;
}

// ---- field selectors ----

static const struct field {
    const char *name;
    const char *key; // of selectors, or
    size_t offset;   // of struct kp_agg_select
} fields[] = {
    {"metadata.name", NULL, offsetof(struct kp_agg_select, name)},
    {"metadata.namespace", NULL, offsetof(struct kp_agg_select, namespace)},
    {"spec.service", NULL, offsetof(struct kp_agg_select, service)},
    {"spec.type", NULL, offsetof(struct kp_agg_select, type)},
    {"spec.pod", "k8s.pod", 0},
    {"spec.container", "k8s.container", 0},
    {"spec.node", "k8s.node", 0},
    {"spec.workload", "k8s.workload", 0},
    {"spec.revision", "k8s.revision", 0},
    {"spec.version", "version", 0},
};

struct requirements {
    KP_ARRAY(struct kp_requirement) list;
    KP_ARRAY(char *) texts; // what they point into
    const char *values[MAX_FIELDS];
    size_t n_values;
};

static void requirements_finish(struct requirements *r)
{
    for (size_t i = 0; i < r->texts.n; i++)
        kp_free(r->texts.items[i]);
    kp_array_free(&r->texts);
    kp_array_free(&r->list);
}

static int not_supported(const char *name, size_t len, struct kp_error *err)
{
    char shown[100];
    return kp_fail(err, KP_INVALID,
        "field label not supported: %s; known are metadata.name, metadata.namespace and of spec: service, "
        "type, "
        "pod, container, node, workload, revision, version",
        kp_printable(shown, sizeof shown, name, len));
}

static void set_text(struct kp_agg_select *select, const struct field *field, const char *value)
{
    char **text = (char **)((char *)select + field->offset);
    if (*text != NULL && !kp_streq(*text, value))
        select->nothing = true;
    else if (*text == NULL)
        *text = kp_strdup(value);
}

static int add_requirement(
    struct requirements *r, const struct field *field, const char *value, bool unequal, struct kp_error *err)
{
    if (r->n_values == MAX_FIELDS)
        return kp_fail(err, KP_INVALID, "fieldSelector: more than %d fields", MAX_FIELDS);
    struct kp_requirement req = {.key = field->key};
    if (value[0] == '\0') { // what is empty is not there
        req.op = unequal ? KP_SELECTOR_EXISTS : KP_SELECTOR_NOT_EXISTS;
    } else {
        char *copy = kp_strdup(value);
        *kp_array_add(&r->texts) = copy;
        r->values[r->n_values] = copy;
        req.op = unequal ? KP_SELECTOR_NOT_IN : KP_SELECTOR_IN;
        req.n_values = 1;
        req.values = &r->values[r->n_values++];
    }
    *kp_array_add(&r->list) = req;
    return 0;
}

static int add_field(struct kp_agg_select *select, struct requirements *r, const char *name, size_t name_len,
    const char *value, bool unequal, struct kp_error *err)
{
    for (size_t i = 0; i < KP_COUNT(fields); i++) {
        if (strlen(fields[i].name) != name_len || strncmp(fields[i].name, name, name_len) != 0)
            continue;
        if (fields[i].key)
            return add_requirement(r, &fields[i], value, unequal, err);
        if (unequal)
            return kp_fail(err, KP_INVALID, "fieldSelector: %s can be asked for with = only", fields[i].name);
        set_text(select, &fields[i], value);
        return 0;
    }
    return not_supported(name, name_len, err);
}

// One term of "a=b,c!=d"; backslashes escape in values. Moves *at behind it.
static int read_term(
    struct kp_agg_select *select, struct requirements *r, const char **at, struct kp_error *err)
{
    const char *name = *at;
    size_t name_len = strcspn(name, "=!,");
    const char *p = name + name_len;
    bool unequal = p[0] == '!' && p[1] == '=';
    if (!unequal && p[0] != '=')
        return kp_fail(
            err, KP_INVALID, "fieldSelector is wrong at '%.40s': expected NAME=VALUE or NAME!=VALUE", name);
    p += unequal || p[1] == '=' ? 2 : 1;
    kp_auto_free char *value = kp_alloc(strlen(p) + 1);
    size_t n = 0;
    for (; *p && *p != ','; p++) {
        if (*p == '\\' && p[1] != '\\' && p[1] != ',' && p[1] != '=')
            return kp_fail(err, KP_INVALID, "fieldSelector: a backslash stands before \\ , or = only");
        p += *p == '\\';
        value[n++] = *p;
    }
    value[n] = '\0';
    *at = *p == ',' ? p + 1 : p;
    return add_field(select, r, name, name_len, value, unequal, err);
}

static int join(const struct kp_selector *labels, const struct requirements *r, struct kp_selector **ret,
    struct kp_error *err)
{
    KP_ARRAY(struct kp_requirement) all = {0};
    size_t n = 0;
    const struct kp_requirement *first = labels ? kp_selector_requirements(labels, &n) : NULL;
    for (size_t i = 0; i < n; i++)
        *kp_array_add(&all) = first[i];
    for (size_t i = 0; i < r->list.n; i++)
        *kp_array_add(&all) = r->list.items[i];
    int rc = all.n > 0 ? kp_selector_create(all.items, all.n, ret, err) : 0;
    kp_array_free(&all);
    return rc;
}

int kp_agg_select_parse(
    const char *labels, const char *field_text, struct kp_agg_select *ret, struct kp_error *err)
{
    struct requirements r = {0};
    struct kp_selector *selector = NULL;
    int rc = 0;
    *ret = (struct kp_agg_select){0};
    if (labels && labels[0] && kp_selector_parse(labels, false, &selector, err) != 0)
        return kp_wrap(err, "labelSelector");
    for (const char *p = field_text ? field_text : ""; rc == 0 && *p;)
        rc = read_term(ret, &r, &p, err);
    if (rc == 0)
        rc = join(selector, &r, &ret->selector, err);
    kp_selector_destroy(selector);
    requirements_finish(&r);
    return rc;
}

bool kp_agg_select_is_all(const struct kp_agg_select *s)
{
    return s->name == NULL && s->service == NULL && s->type == NULL &&
           (s->selector == NULL || kp_selector_is_empty(s->selector));
}

void kp_agg_select_finish(struct kp_agg_select *s)
{
    kp_free(s->name);
    kp_free(s->namespace);
    kp_free(s->service);
    kp_free(s->type);
    kp_selector_destroy(s->selector);
    *s = (struct kp_agg_select){0};
}

// ---- DeleteOptions ----

static int check_dry_run(const char *value, bool *ret, struct kp_error *err)
{
    char shown[40];
    if (!kp_streq(value, "All"))
        return kp_fail(err, KP_INVALID, "dryRun: '%s' is not supported; it can be All",
            kp_printable(shown, sizeof shown, value ? value : "", value ? strlen(value) : 0));
    *ret = true;
    return 0;
}

// Another spelling would be overlooked, and the profile gone.
static int check_spelling(const json_t *body, struct kp_error *err)
{
    static const char *const known[] = {"dryRun", "preconditions"};
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)body, key, value)
    {
        for (size_t i = 0; i < KP_COUNT(known); i++)
            if (strcasecmp(key, known[i]) == 0 && !kp_streq(key, known[i]))
                return kp_fail(err, KP_INVALID, "DeleteOptions: it is written %s", known[i]);
    }
    return 0;
}

static int read_preconditions(const json_t *given, struct kp_agg_delete_options *ret, struct kp_error *err)
{
    const json_t *uid = json_object_get(given, "uid");
    const json_t *version = json_object_get(given, "resourceVersion");
    const char *text = json_string_value(uid);
    if (given == NULL || json_is_null(given))
        return 0;
    if (!json_is_object(given) || (uid && !json_is_null(uid) && !text) ||
        (version && !json_is_null(version) && !json_is_string(version)))
        return kp_fail(err, KP_INVALID, "preconditions: expected {\"uid\":\"...\"}");
    if (text && (text[0] == '\0' || !kp_copy(ret->uid, sizeof ret->uid, text)))
        return kp_fail(err, KP_INVALID, "preconditions: the uid is too long, or empty");
    if (json_is_string(version) && !kp_streq(json_string_value(version), "1"))
        return kp_fail(err, KP_CONFLICT,
            "the resourceVersion in the precondition is not that of the profile, which is always 1");
    return 0;
}

static int read_options(const json_t *body, struct kp_agg_delete_options *ret, struct kp_error *err)
{
    const json_t *dry_run = json_object_get(body, "dryRun");
    int rc = check_spelling(body, err);
    if (rc == 0 && dry_run && !json_is_null(dry_run) && !json_is_array(dry_run))
        return kp_fail(err, KP_INVALID, "dryRun: expected a list");
    for (size_t i = 0; rc == 0 && i < json_array_size(dry_run); i++)
        rc = check_dry_run(json_string_value(json_array_get(dry_run, i)), &ret->dry_run, err);
    return rc == 0 ? read_preconditions(json_object_get(body, "preconditions"), ret, err) : rc;
}

bool kp_agg_delete_takes(const char *param)
{
    static const char *const known[] = {"dryRun", "labelSelector", "fieldSelector", "gracePeriodSeconds",
        "propagationPolicy", "orphanDependents", "pretty", "timeout", "timeoutSeconds", "fieldManager",
        "ignoreStoreReadErrorWithClusterBreakingPotential"};
    for (size_t i = 0; i < KP_COUNT(known); i++)
        if (kp_streq(param, known[i]))
            return true;
    return false;
}

int kp_agg_delete_options_parse(const void *data, size_t len, const char *dry_run,
    struct kp_agg_delete_options *ret, struct kp_error *err)
{
    json_error_t why;
    *ret = (struct kp_agg_delete_options){0};
    if (dry_run && check_dry_run(dry_run, &ret->dry_run, err) != 0)
        return err ? err->code : KP_INVALID;
    if (len == 0)
        return 0;
    json_t *body = json_loadb(data, len, JSON_REJECT_DUPLICATES, &why);
    if (!json_is_object(body)) {
        json_decref(body);
        return kp_fail(err, KP_INVALID, "the body is not DeleteOptions in JSON");
    }
    int rc = read_options(body, ret, err);
    json_decref(body);
    return rc;
}
