#include "policy/annotations.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/duration.h"
#include "base/text.h"
#include "policy/types.h"
#include "base/banned.h"

struct reading {
    struct kp_pod_wishes *wishes;
    const char *key; // in hand
    bool fallback;   // the dialect falls back to 6060
    enum kp_dialect dialect;
};

typedef void (*read_fn)(struct reading *r, const char *value);

KP_PRINTF(2, 3)
static void problem(struct reading *r, const char *fmt, ...)
{
    struct kp_pod_wishes *wishes = r->wishes;
    if (wishes->n_problems == KP_COUNT(wishes->problems))
        return;
    struct kp_annotation_problem *p = &wishes->problems[wishes->n_problems++];
    p->key = r->key;
    int n = snprintf(p->message, sizeof p->message, "%s: ", r->key);
    va_list args;
    va_start(args, fmt);
    if (n > 0 && (size_t)n < sizeof p->message)
        vsnprintf(p->message + n, sizeof p->message - (size_t)n, fmt, args);
    va_end(args);
}

// A value as it may be shown: short and printable.
struct shown {
    char text[48];
};
static struct shown show(const char *value)
{
    struct shown s;
    kp_printable(s.text, sizeof s.text, value, strlen(value));
    return s;
}

// ---- single values ----

static bool port_name_valid(const char *name)
{
    size_t n = strlen(name);
    return n > 0 && n <= 15 && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == n &&
           strpbrk(name, "abcdefghijklmnopqrstuvwxyz") != NULL && name[0] != '-' && name[n - 1] != '-';
}

static bool take_port(struct reading *r, const char *value, uint16_t *port, char *name, size_t name_size)
{
    int64_t number;
    if (kp_parse_int(value, 1, 65535, &number, NULL) == 0) {
        *port = (uint16_t)number;
        return true;
    }
    if (port_name_valid(value)) {
        kp_copy(name, name_size, value);
        return true;
    }
    problem(r, "'%s' is not a port; use a number from 1 to 65535 or the name of a container port",
        show(value).text);
    return false;
}

static bool path_valid(const char *path)
{
    if (path[0] != '/' || strlen(path) > 255)
        return false;
    for (const char *p = path; *p != '\0'; p++)
        if (*p <= ' ' || *p == '?' || *p == '#' || *p == '%' || *p == '\\' || *p == 0x7f)
            return false;
    return strstr(path, "..") == NULL && strstr(path, "//") == NULL;
}

static void take_path(struct reading *r, const char *value, char *out, size_t size)
{
    if (!path_valid(value)) {
        problem(r, "'%s' is not a path; it starts with '/', without '..', '//', '?', '%%' and spaces",
            show(value).text);
        return;
    }
    kp_copy(out, size, value);
    size_t n = strlen(out);
    while (n > 1 && out[n - 1] == '/')
        out[--n] = '\0';
}

static void opt_in(struct reading *r)
{
    r->wishes->opted_in = true;
    r->wishes->dialects |= r->dialect;
    r->wishes->fallback_port |= r->fallback;
}

// ---- keys ----

static void read_enable(struct reading *r, const char *value)
{
    bool on;
    if (kp_parse_bool(value, &on, NULL) != 0)
        problem(r, "'%s' is neither true nor false", show(value).text);
    else if (on)
        opt_in(r);
    else if (r->dialect == KP_DIALECT_OWN)
        r->wishes->opted_out = true;
}

static void read_port(struct reading *r, const char *value)
{
    if (r->wishes->port == 0 && r->wishes->port_name[0] == '\0')
        take_port(r, value, &r->wishes->port, r->wishes->port_name, sizeof r->wishes->port_name);
}

static void read_path(struct reading *r, const char *value)
{
    if (r->wishes->path[0] == '\0')
        take_path(r, value, r->wishes->path, sizeof r->wishes->path);
}

static void take_scheme(struct reading *r, const char *value)
{
    bool https = strcasecmp(value, "https") == 0;
    if (!https && strcasecmp(value, "http") != 0) {
        problem(r, "'%s' is not a scheme; use http or https", show(value).text);
        return;
    }
    if (!r->wishes->has_scheme) {
        r->wishes->has_scheme = true;
        r->wishes->https = https;
    }
}

static void read_container(struct reading *r, const char *value)
{
    if (strlen(value) >= sizeof r->wishes->container || !kp_label_value_valid(value) || value[0] == '\0')
        problem(r, "'%s' is not the name of a container", show(value).text);
    else if (r->wishes->container[0] == '\0')
        kp_copy(r->wishes->container, sizeof r->wishes->container, value);
}

static void read_service(struct reading *r, const char *value)
{
    size_t n = strlen(value);
    bool plain = n > 0 && n <= KP_MAX_SERVICE_NAME && kp_utf8_valid(value, n);
    for (size_t i = 0; plain && i < n; i++)
        plain = (unsigned char)value[i] > ' ' && value[i] != 0x7f && value[i] != '/';
    if (!plain)
        problem(r, "'%s' is not a service name; use up to %d characters without spaces and '/'",
            show(value).text, KP_MAX_SERVICE_NAME);
    else if (r->wishes->service[0] == '\0')
        kp_copy(r->wishes->service, sizeof r->wishes->service, value);
}

static struct kp_annotation_type *type_get(struct reading *r, const char *name)
{
    struct kp_pod_wishes *wishes = r->wishes;
    for (size_t i = 0; i < wishes->n_types; i++)
        if (strcmp(wishes->types[i].name, name) == 0)
            return &wishes->types[i];
    if (wishes->n_types == KP_MAX_PROFILES)
        return NULL;
    struct kp_annotation_type *type = &wishes->types[wishes->n_types++];
    *type = (struct kp_annotation_type){0};
    kp_copy(type->name, sizeof type->name, name);
    return type;
}

static void read_types(struct reading *r, const char *value)
{
    char copy[512];
    if (!kp_copy(copy, sizeof copy, value)) {
        problem(r, "the list is longer than %zu bytes", sizeof copy - 1);
        return;
    }
    char *rest = copy;
    while (rest != NULL) {
        char *word = strsep(&rest, ",");
        word += strspn(word, " ");
        word[strcspn(word, " ")] = '\0';
        if (word[0] == '\0')
            continue;
        if (kp_profile_type(word) == NULL)
            problem(r, "'%s' is not a known profile type; custom types are named by a policy, with a path",
                show(word).text);
        else
            type_get(r, word);
    }
}

static bool take_duration(struct reading *r, const char *value, int64_t *out)
{
    int64_t ms;
    if (kp_duration_parse(value, &ms, NULL) != 0 || ms < 1000) {
        problem(r, "'%s' is not a duration of at least 1s; write it like 90s or 1h30m", show(value).text);
        return false;
    }
    if (*out == 0)
        *out = ms;
    return true;
}

static void read_interval(struct reading *r, const char *value)
{
    take_duration(r, value, &r->wishes->interval_ms);
}

static void read_duration(struct reading *r, const char *value)
{
    take_duration(r, value, &r->wishes->duration_ms);
}

static void read_type_flag(struct reading *r, const char *value, const char *type)
{
    bool on;
    if (kp_parse_bool(value, &on, NULL) != 0)
        problem(r, "'%s' is neither true nor false", show(value).text);
    else if (on)
        type_get(r, type);
}

static void read_cpu_enabled(struct reading *r, const char *value)
{
    read_type_flag(r, value, "cpu");
}

static void read_mem_enabled(struct reading *r, const char *value)
{
    read_type_flag(r, value, "heap");
}

// One row a key. Order within the table is order of precedence.
static const struct {
    enum kp_dialect dialect;
    const char *key;
    read_fn read;
    bool fallback; // enabling by this key falls back to port 6060
    const char *meaning;
} keys[] = {
    {KP_DIALECT_OWN, "kube-pprof.dev/enable", read_enable, true, "whether to profile this pod"},
    {KP_DIALECT_OWN, "kube-pprof.dev/port", read_port, false, "port of pprof, number or name"},
    {KP_DIALECT_OWN, "kube-pprof.dev/path", read_path, false, "folder of the profiles"},
    {KP_DIALECT_OWN, "kube-pprof.dev/scheme", take_scheme, false, "http or https"},
    {KP_DIALECT_OWN, "kube-pprof.dev/container", read_container, false, "container that serves pprof"},
    {KP_DIALECT_OWN, "kube-pprof.dev/service", read_service, false, "name profiles are stored under"},
    {KP_DIALECT_OWN, "kube-pprof.dev/types", read_types, false, "profile types it has"},
    {KP_DIALECT_OWN, "kube-pprof.dev/interval", read_interval, false, "not more often than this"},
    {KP_DIALECT_OWN, "kube-pprof.dev/duration", read_duration, false, "not longer than this"},
    {KP_DIALECT_PROFEFE, "profefe.com/enable", read_enable, true, "whether to profile this pod"},
    {KP_DIALECT_PROFEFE, "profefe.com/port", read_port, false, "port of pprof, number or name"},
    {KP_DIALECT_PROFEFE, "profefe.com/path", read_path, false, "folder of the profiles"},
    {KP_DIALECT_PROFEFE, "profefe.com/service", read_service, false, "name profiles are stored under"},
    {KP_DIALECT_GRAFANA, "profiles.grafana.com/service_name", read_service, false,
        "name profiles are stored under"},
    {KP_DIALECT_PYROSCOPE, "pyroscope.io/scrape", read_enable, false, "whether to profile this pod"},
    {KP_DIALECT_PYROSCOPE, "pyroscope.io/port", read_port, false, "port of pprof, number or name"},
    {KP_DIALECT_PYROSCOPE, "pyroscope.io/application-name", read_service, false,
        "name profiles are stored under"},
    {KP_DIALECT_PYROSCOPE, "pyroscope.io/service_name", read_service, false,
        "name profiles are stored under"},
    {KP_DIALECT_PYROSCOPE, "pyroscope.io/profile-cpu-enabled", read_cpu_enabled, false,
        "whether it has cpu profiles"},
    {KP_DIALECT_PYROSCOPE, "pyroscope.io/profile-mem-enabled", read_mem_enabled, false,
        "whether it has heap profiles"},
    {KP_DIALECT_COROOT, "coroot.com/profile-scrape", read_enable, false, "whether to profile this pod"},
    {KP_DIALECT_COROOT, "coroot.com/profile-port", read_port, false, "port of pprof, number or name"},
};

// profiles.grafana.com/<type>.<what>: a row a type.
static const struct {
    const char *name, *type;
} grafana_types[] = {{"cpu", "cpu"}, {"memory", "heap"}, {"goroutine", "goroutine"}, {"block", "block"},
    {"mutex", "mutex"}, {"fgprof", "fgprof"}};

static const char *find(const struct kp_label *annotations, size_t n, const char *key)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(annotations[i].key, key) == 0)
            return annotations[i].value;
    return NULL;
}

// The key as it stands in the annotations lives as long as they do: problems borrow it.
static const char *own_key(const struct kp_label *annotations, size_t n, const char *key)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(annotations[i].key, key) == 0)
            return annotations[i].key;
    return "";
}

static const char *grafana_value(
    struct reading *r, const struct kp_label *annotations, size_t n, const char *type, const char *what)
{
    char key[96];
    snprintf(key, sizeof key, "profiles.grafana.com/%s.%s", type, what);
    r->key = own_key(annotations, n, key);
    return find(annotations, n, key);
}

static void read_grafana_type(struct reading *r, const struct kp_label *annotations, size_t n, size_t row)
{
    const char *name = grafana_types[row].name;
    const char *scrape = grafana_value(r, annotations, n, name, "scrape");
    bool on = false;
    if (scrape != NULL && kp_parse_bool(scrape, &on, NULL) != 0)
        problem(r, "'%s' is neither true nor false", show(scrape).text);
    if (!on)
        return;
    opt_in(r);
    struct kp_annotation_type *type = type_get(r, grafana_types[row].type);
    if (type == NULL)
        return;
    const char *value = grafana_value(r, annotations, n, name, "port_name");
    if (value == NULL)
        value = grafana_value(r, annotations, n, name, "port");
    if (value != NULL)
        take_port(r, value, &type->port, type->port_name, sizeof type->port_name);
    value = grafana_value(r, annotations, n, name, "path");
    if (value != NULL)
        take_path(r, value, type->path, sizeof type->path);
    value = grafana_value(r, annotations, n, name, "scheme");
    if (value != NULL)
        take_scheme(r, value);
    value = grafana_value(r, annotations, n, name, "container");
    if (value != NULL)
        read_container(r, value);
}

void kp_annotations_read(
    const struct kp_label *annotations, size_t n, unsigned dialects, struct kp_pod_wishes *ret)
{
    memset(ret, 0, offsetof(struct kp_pod_wishes, types)); // 9 KB follow, which are empty for most pods
    for (size_t i = 0; n > 0 && i < KP_COUNT(keys); i++) {
        struct reading r = {.wishes = ret, .fallback = keys[i].fallback, .dialect = keys[i].dialect};
        const char *value = (dialects & keys[i].dialect) != 0 ? find(annotations, n, keys[i].key) : NULL;
        if (value == NULL)
            continue;
        r.key = own_key(annotations, n, keys[i].key);
        keys[i].read(&r, value);
    }
    if (n > 0 && (dialects & KP_DIALECT_GRAFANA) != 0) {
        struct reading r = {.wishes = ret, .dialect = KP_DIALECT_GRAFANA};
        for (size_t row = 0; row < KP_COUNT(grafana_types); row++)
            read_grafana_type(&r, annotations, n, row);
    }
}

// ---- for people ----

static const char *dialect_name(enum kp_dialect dialect)
{
    switch (dialect) {
    case KP_DIALECT_OWN:
        return "kube-pprof";
    case KP_DIALECT_PROFEFE:
        return "profefe";
    case KP_DIALECT_GRAFANA:
        return "grafana";
    case KP_DIALECT_PYROSCOPE:
        return "pyroscope";
    case KP_DIALECT_COROOT:
        return "coroot";
    }
    return "";
}

static const char *grafana_meaning(const char *key)
{
    static const struct {
        const char *what, *meaning;
    } parts[] = {
        {"scrape", "whether to take this type"},
        {"port", "port of this type"},
        {"port_name", "port of this type, by name"},
        {"path", "path of this type"},
        {"scheme", "http or https"},
        {"container", "container that serves pprof"},
    };
    for (size_t row = 0; row < KP_COUNT(grafana_types); row++) {
        for (size_t i = 0; i < KP_COUNT(parts); i++) {
            char full[96];
            snprintf(full, sizeof full, "profiles.grafana.com/%s.%s", grafana_types[row].name, parts[i].what);
            if (strcmp(full, key) == 0)
                return parts[i].meaning;
        }
    }
    return NULL;
}

bool kp_annotation_info(const char *key, struct kp_annotation_info *ret)
{
    const char *meaning = grafana_meaning(key);
    enum kp_dialect dialect = KP_DIALECT_GRAFANA;
    for (size_t i = 0; i < KP_COUNT(keys) && meaning == NULL; i++) {
        if (strcmp(keys[i].key, key) == 0) {
            meaning = keys[i].meaning;
            dialect = keys[i].dialect;
        }
    }
    if (meaning != NULL)
        *ret = (struct kp_annotation_info){dialect, dialect_name(dialect), meaning};
    return meaning != NULL;
}

const char *kp_annotation_nearest(const char *key)
{
    const char *best = NULL;
    size_t least = 4; // three letters wrong are still a slip
    for (size_t i = 0; i < KP_COUNT(keys); i++) {
        size_t distance = kp_edit_distance(keys[i].key, key);
        if (distance < least)
            least = distance, best = keys[i].key;
    }
    return best;
}
