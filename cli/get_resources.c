#include "cli/get.h"

#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/duration.h"
#include "base/text.h"
#include "cli/ask.h"
#include "cli/pages.h"
#include "base/banned.h"

#define DEFAULT_LIMIT 500

// ---- reading items ----

static const char *text_of(const json_t *item, const char *key)
{
    return json_string_value(json_object_get(item, key));
}

static int64_t time_of(const json_t *item, const char *key)
{
    int64_t ms = 0;
    const char *text = text_of(item, key);
    return text && kp_time_parse(text, &ms, NULL) == 0 ? ms : 0;
}

static void age_cell(struct kp_table *table, int64_t now_ms, int64_t ms)
{
    char text[KP_AGE_TEXT];
    kp_table_cell(table, ms ? kp_age_format(text, now_ms - ms) : NULL);
}

static void seconds_cell(struct kp_table *table, const json_t *value)
{
    char text[KP_DURATION_TEXT];
    kp_table_cell(table,
        json_is_number(value) ? kp_duration_format(text, (int64_t)(json_number_value(value) * 1000)) : NULL);
}

static void words_cell(struct kp_table *table, const json_t *words)
{
    kp_auto_strbuf text;
    kp_strbuf_init(&text, 4096);
    size_t i;
    json_t *word;
    json_array_foreach(words, i, word)
    {
        const char *value = json_string_value(word);
        kp_strbuf_addf(&text, "%s%s", i ? "," : "", value ? value : "");
    }
    kp_table_cell(table, text.data);
}

void kp_get_labels_cell(struct kp_table *table, const json_t *labels)
{
    kp_auto_strbuf text;
    kp_strbuf_init(&text, 4096);
    const char *key;
    json_t *label;
    json_object_foreach((json_t *)(uintptr_t)labels, key, label)
    {
        const char *value = json_string_value(label);
        kp_strbuf_addf(&text, "%s%s=%s", text.len ? "," : "", key, value ? value : "");
    }
    kp_table_cell(table, text.data);
}

// ---- profiles ----

static const char *const profile_columns[] = {
    "ID", "SERVICE", "TYPE", "POD", "SIZE", "DURATION", "AGE", NULL};
static const char *const profile_wide[] = {"CONTAINER", "NODE", "WORKLOAD", "REVISION", "VERSION", NULL};

static void profile_row(const struct kp_get *get, const json_t *item, struct kp_table *table)
{
    static const char *const wide[] = {"container", "node", "workload", "revision", "version"};
    char size[KP_AGE_TEXT];
    kp_table_cell(table, text_of(item, "id"));
    kp_table_cell(table, text_of(item, "service"));
    kp_table_cell(table, text_of(item, "type"));
    kp_table_cell(table, text_of(item, "pod"));
    kp_table_cell(
        table, kp_size_format(size, (uint64_t)json_integer_value(json_object_get(item, "sizeBytes"))));
    seconds_cell(table, json_object_get(item, "durationSeconds"));
    age_cell(table, get->now_ms, time_of(item, "startTime"));
    for (size_t i = 0; get->is_wide && i < KP_COUNT(wide); i++)
        kp_table_cell(table, text_of(item, wide[i]));
}

static const char *profile_name(const json_t *item)
{
    return text_of(item, "id");
}

static int list_ids(struct kp_cli *cli, const struct kp_get *get, json_t *items, struct kp_error *err)
{
    for (size_t i = 0; i < get->n_ids; i++) {
        kp_auto_free char *what = kp_asprintf("profiles/%s", get->ids[i]);
        struct kp_error one = {0};
        struct kp_query query;
        json_t *item = NULL;
        if (!kp_kube_name_valid(get->ids[i]))
            return kp_cli_usage(cli, err, "'%.60s' is no id of a profile", get->ids[i]);
        kp_query_init(&query);
        if (kp_ask_is_direct(cli))
            kp_query_add(&query, "meta", "true");
        int rc = kp_ask_json(cli, what, &query, &item, &one);
        kp_query_finish(&query);
        if (rc == KP_CANCELED)
            return kp_cli_pass(err, &one);
        if (rc == 0)
            json_array_append_new(items, item);
        else
            kp_cli_complain(cli, &one);
    }
    return 0;
}

static int list_profiles(struct kp_cli *cli, const struct kp_get *get, json_t **ret, struct kp_error *err)
{
    size_t limit = cli->flags.limit                  ? (size_t)cli->flags.limit
                   : kp_output_is_data(&get->output) ? SIZE_MAX
                                                     : DEFAULT_LIMIT;
    struct kp_query query;
    json_t *items = json_array();
    bool more = false;
    kp_query_init(&query);
    int rc = get->n_ids ? list_ids(cli, get, items, err) : kp_query_add_flags(cli, &query, err);
    if (rc == 0 && get->n_ids == 0)
        rc = kp_pages_list(cli, "profiles", &query, limit, items, &more, err);
    if (rc == 0 && more && cli->flags.limit == 0)
        kp_cli_note(
            cli, "only the newest %zu are shown; --limit says how many, --from and --to which", limit);
    kp_query_finish(&query);
    if (rc == 0)
        *ret = json_incref(items);
    json_decref(items);
    return rc;
}

// ---- services and types ----

static const char *const service_columns[] = {"NAME", "TYPES", "PROFILES", "SIZE", "LAST", NULL};
static const char *const service_wide[] = {"FIRST", NULL};

static void service_row(const struct kp_get *get, const json_t *item, struct kp_table *table)
{
    char size[KP_AGE_TEXT];
    kp_table_cell(table, text_of(item, "service"));
    words_cell(table, json_object_get(item, "types"));
    kp_table_cellf(table, "%lld", (long long)json_integer_value(json_object_get(item, "profiles")));
    kp_table_cell(table, kp_size_format(size, (uint64_t)json_integer_value(json_object_get(item, "bytes"))));
    age_cell(table, get->now_ms, time_of(item, "lastTime"));
    if (get->is_wide)
        age_cell(table, get->now_ms, time_of(item, "firstTime"));
}

static const char *service_name(const json_t *item)
{
    return text_of(item, "service");
}

static int list_services(struct kp_cli *cli, const struct kp_get *get, json_t **ret, struct kp_error *err)
{
    json_t *answer = NULL;
    (void)get;
    int rc = kp_ask_json(cli, "services", NULL, &answer, err);
    if (rc != 0)
        return rc;
    json_t *items = json_array();
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(answer, "items"), i,
        item) if (!kp_cli_given(cli->flags.service) || kp_streq(cli->flags.service, text_of(item, "service")))
        json_array_append(items, item);
    json_decref(answer);
    *ret = items;
    return 0;
}

static const char *const type_columns[] = {"NAME", "SERVICES", NULL};
static const char *const type_wide[] = {NULL};

static void type_row(const struct kp_get *get, const json_t *item, struct kp_table *table)
{
    (void)get;
    kp_table_cell(table, text_of(item, "type"));
    words_cell(table, json_object_get(item, "services"));
}

static const char *type_name(const json_t *item)
{
    return text_of(item, "type");
}

static int list_types(struct kp_cli *cli, const struct kp_get *get, json_t **ret, struct kp_error *err)
{
    json_t *services = NULL;
    int rc = list_services(cli, get, &services, err);
    if (rc != 0)
        return rc;
    json_t *types = json_object(); // in the order they are met
    size_t i;
    size_t k;
    json_t *service;
    json_t *type;
    json_array_foreach(services, i, service){json_array_foreach(json_object_get(service, "types"), k, type){
        const char *name = json_string_value(type);
    json_t *known = json_object_get(types, name);
    if (known == NULL) {
        known = json_pack("{s:s,s:[]}", "type", name, "services");
        json_object_set_new(types, name, known);
    }
    json_array_append(json_object_get(known, "services"), json_object_get(service, "service"));
}
}
*ret = json_array();
const char *name;
json_object_foreach(types, name, type) json_array_append(*ret, type);
json_decref(types);
json_decref(services);
return 0;
}

// ---- targets ----

static const char *const target_columns[] = {
    "POD", "CONTAINER", "PORT", "SERVICE", "SAMPLED", "LAST CAPTURE", "RESULT", "NEXT", NULL};
static const char *const target_wide[] = {"NODE", "WORKLOAD", "POLICIES", "MESSAGE", NULL};

// Of all its types: the last capture, the soonest next one, and what went wrong.
struct target_sum {
    int64_t last_ms, next_ms;
    const char *result, *type, *message;
};

static struct target_sum sum_target(const json_t *item)
{
    struct target_sum sum = {0};
    size_t i;
    json_t *profile;
    json_array_foreach(json_object_get(item, "profiles"), i, profile)
    {
        int64_t last = time_of(profile, "lastTime");
        int64_t next = time_of(profile, "nextTime");
        const char *result = text_of(profile, "lastResult");
        bool is_better =
            sum.result == NULL || (kp_streq(sum.result, "Succeeded") && !kp_streq(result, "Succeeded"));
        sum.last_ms = last > sum.last_ms ? last : sum.last_ms;
        if (next != 0 && (sum.next_ms == 0 || next < sum.next_ms))
            sum.next_ms = next;
        if (result != NULL && is_better) {
            sum.result = result;
            sum.type = text_of(profile, "type");
            sum.message = text_of(profile, "message");
        }
    }
    return sum;
}

static void next_cell(struct kp_table *table, int64_t now_ms, int64_t next_ms)
{
    char text[KP_AGE_TEXT];
    if (next_ms == 0)
        kp_table_cell(table, NULL);
    else
        kp_table_cell(table, next_ms <= now_ms ? "now" : kp_age_format(text, next_ms - now_ms));
}

static void target_row(const struct kp_get *get, const json_t *item, struct kp_table *table)
{
    const char *left_out = text_of(item, "leftOutReason");
    const json_t *port = json_object_get(item, "port");
    const struct target_sum sum = sum_target(item);
    kp_table_cell(table, text_of(item, "pod"));
    kp_table_cell(table, text_of(item, "container"));
    if (port != NULL)
        kp_table_cellf(table, "%lld", (long long)json_integer_value(port));
    else
        kp_table_cell(table, NULL);
    kp_table_cell(table, text_of(item, "service"));
    kp_table_cell(table, left_out                                         ? "no"
                         : json_is_true(json_object_get(item, "sampled")) ? "yes"
                                                                          : "not now");
    age_cell(table, get->now_ms, sum.last_ms);
    if (left_out != NULL)
        kp_table_cell(table, left_out);
    else if (sum.result != NULL && !kp_streq(sum.result, "Succeeded"))
        kp_table_cellf(table, "%s (%s)", sum.result, sum.type);
    else
        kp_table_cell(table, sum.result);
    next_cell(table, get->now_ms, sum.next_ms);
    if (!get->is_wide)
        return;
    const char *message = text_of(item, "message");
    kp_table_cell(table, text_of(item, "node"));
    kp_table_cell(table, text_of(item, "workload"));
    words_cell(table, json_object_get(item, "policies"));
    kp_table_cell(table, message ? message : sum.message);
}

static const char *target_name(const json_t *item)
{
    return text_of(item, "pod");
}

static int list_targets(struct kp_cli *cli, const struct kp_get *get, json_t **ret, struct kp_error *err)
{
    json_t *items = json_array();
    struct kp_query query;
    bool more;
    (void)get;
    kp_query_init(&query);
    int rc = kp_pages_list(cli, "targets", &query, SIZE_MAX, items, &more, err);
    kp_query_finish(&query);
    for (size_t i = json_array_size(items); i-- > 0 && kp_cli_given(cli->flags.service);)
        if (!kp_streq(cli->flags.service, text_of(json_array_get(items, i), "service")))
            json_array_remove(items, i);
    if (rc == 0)
        *ret = json_incref(items);
    json_decref(items);
    return rc;
}

// ---- policies ----

static const char *const policy_columns[] = {
    "NAME", "READY", "TARGETS", "FAILING", "LAST CAPTURE", "AGE", NULL};
static const char *const policy_wide[] = {"SUSPENDED", "REASON", "MESSAGE", NULL};

static const json_t *at(const json_t *item, const char *a, const char *b)
{
    return json_object_get(json_object_get(item, a), b);
}

static const char *policy_name(const json_t *item)
{
    return json_string_value(at(item, "metadata", "name"));
}

static void count_cell(struct kp_table *table, const json_t *n)
{
    if (n == NULL)
        kp_table_cell(table, NULL);
    else
        kp_table_cellf(table, "%lld", (long long)json_integer_value(n));
}

static void policy_row(const struct kp_get *get, const json_t *item, struct kp_table *table)
{
    const json_t *targets = at(item, "status", "targets");
    const json_t *ready = NULL;
    bool is_cluster = kp_streq(text_of(item, "kind"), "ClusterProfilingPolicy");
    size_t i;
    json_t *condition;
    json_array_foreach(at(item, "status", "conditions"), i,
        condition) if (kp_streq(text_of(condition, "type"), "Ready")) ready = condition;
    kp_table_cellf(
        table, "%s/%s", is_cluster ? "clusterprofilingpolicy" : "profilingpolicy", policy_name(item));
    kp_table_cell(table, text_of(ready, "status"));
    count_cell(table, json_object_get(targets, "sampled"));
    count_cell(table, json_object_get(targets, "failing"));
    age_cell(table, get->now_ms, time_of(json_object_get(item, "status"), "lastCaptureTime"));
    age_cell(table, get->now_ms, time_of(json_object_get(item, "metadata"), "creationTimestamp"));
    if (!get->is_wide)
        return;
    kp_table_cell(table, json_is_true(at(item, "spec", "suspend")) ? "true" : "false");
    kp_table_cell(table, text_of(ready, "reason"));
    kp_table_cell(table, text_of(ready, "message"));
}

static int add_policies(
    struct kp_cli *cli, const char *path, const char *kind, json_t *items, struct kp_error *err)
{
    json_t *list = NULL;
    int rc = kp_session_json(cli, "GET", path, NULL, &list, err);
    if (rc != 0)
        return rc;
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(list, "items"), i, item)
    {
        json_object_set_new(item, "kind", json_string(kind));
        json_object_del(json_object_get(item, "metadata"), "managedFields");
        json_array_append(items, item);
    }
    json_decref(list);
    return 0;
}

static int list_policies(struct kp_cli *cli, const struct kp_get *get, json_t **ret, struct kp_error *err)
{
    (void)get;
    int rc = kp_session_connect(cli, err);
    if (rc != 0)
        return rc;
    json_t *items = json_array();
    struct kp_error of_cluster = {0};
    kp_auto_free char *own =
        cli->flags.all_namespaces
            ? kp_strdup("/apis/kube-pprof.dev/v1alpha1/profilingpolicies")
            : kp_asprintf(
                  "/apis/kube-pprof.dev/v1alpha1/namespaces/%s/profilingpolicies", kp_session_namespace(cli));
    rc = add_policies(cli, own, "ProfilingPolicy", items, err);
    if (rc == 0 && add_policies(cli, "/apis/kube-pprof.dev/v1alpha1/clusterprofilingpolicies",
                       "ClusterProfilingPolicy", items, &of_cluster) != 0) {
        // those of the cluster bear on one's pods, but not everybody may list them
        if (of_cluster.code == KP_DENIED)
            kp_cli_note(cli, "policies of the cluster are left out: %s", of_cluster.text);
        else
            rc = kp_cli_pass(err, &of_cluster);
    }
    if (rc == 0)
        *ret = json_incref(items);
    json_decref(items);
    return rc;
}

// ---- the table of them ----

static const struct kp_get_resource resources[] = {
    {"profiles profile prof", "profile.data.kube-pprof.dev", profile_columns, profile_wide, profile_row,
        profile_name, list_profiles},
    {"services service svc", "service", service_columns, service_wide, service_row, service_name,
        list_services},
    {"types type profile-types", "type", type_columns, type_wide, type_row, type_name, list_types},
    {"targets target", "pod", target_columns, target_wide, target_row, target_name, list_targets},
    {"policies policy ppol", "policy", policy_columns, policy_wide, policy_row, policy_name, list_policies},
};

const struct kp_get_resource *kp_get_resource(const char *word)
{
    size_t len = strlen(word);
    for (size_t i = 0; i < KP_COUNT(resources); i++)
        for (const char *p = resources[i].names; *p; p += strspn(p, " ")) {
            size_t n = strcspn(p, " ");
            if (n == len && strncmp(p, word, n) == 0)
                return &resources[i];
            p += n;
        }
    return NULL;
}

bool kp_get_has_ids(const struct kp_get_resource *resource)
{
    return resource->list == list_profiles;
}
