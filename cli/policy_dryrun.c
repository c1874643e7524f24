// policy dry-run: what policies would capture, and what that would cost, before anything is applied.
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/text.h"
#include "cli/ask.h"
#include "cli/command.h"
#include "cli/dryrun.h"
#include "cli/lint.h"
#include "cli/output.h"
#include "cli/policyfile.h"
#include "base/banned.h"

#define MAX_SIZES    64 // questions to the registry
#define SIZES_OF     "20"
#define HOURS_OF_DAY 24

struct dry {
    struct kp_cli *cli;
    struct kp_policyfile files;
    struct kp_policies before, after;
    KP_ARRAY(struct kp_policy *) asked; // one reference each
    json_t *suspended;                  // their keys
    struct kp_pods pods;
    bool is_everywhere; // pods of all namespaces
    int n_questions;
    json_t *sizes;   // "namespace/service/type" -> bytes
    json_t *refused; // namespaces whose profiles one may not read
};

// ---- the files ----

// It is looked at as if it were not suspended, which is said.
static int add_asked(struct dry *d, const json_t *object, struct kp_error *err)
{
    struct kp_policy *policy = NULL;
    int rc = kp_policyfile_parse(object, kp_session_namespace(d->cli), &policy, err);
    if (rc != 0)
        return rc;
    if (policy->reject_reason != NULL) {
        kp_auto_free char *name = kp_policies_name(policy);
        rc = kp_fail(err, KP_INVALID, "%s: %s", name, policy->reject_message);
        kp_policy_unref(policy);
        return rc;
    }
    if (policy->suspend) {
        policy->suspend = false;
        json_object_set_new(d->suspended, policy->key, json_true());
    }
    d->is_everywhere |= kp_policy_is_cluster(policy);
    for (size_t i = 0; i < d->asked.n; i++) {
        if (kp_streq(d->asked.items[i]->key, policy->key)) { // the last one applied counts
            kp_policy_unref(d->asked.items[i]);
            d->asked.items[i] = policy;
            return 0;
        }
    }
    *kp_array_add(&d->asked) = policy;
    return 0;
}

// What the API server would refuse, or drop without a word; each is said. Returns whether there is something.
static bool complain_of(struct dry *d, struct kp_lint *lint, const struct kp_policyfile_object *at)
{
    json_t *findings = json_array();
    kp_auto_free char *name = kp_policyfile_name(at->object);
    bool any = false;
    size_t i;
    json_t *finding;
    kp_lint_object(lint, at->object, findings);
    json_array_foreach(findings, i, finding)
    {
        const char *field = json_string_value(json_object_get(finding, "field"));
        struct kp_error why = {0};
        if (!kp_streq(json_string_value(json_object_get(finding, "severity")), "error"))
            continue;
        kp_fail(&why, KP_INVALID, "%s: %s: %s%s%s", at->file, name, field, field[0] ? ": " : "",
            json_string_value(json_object_get(finding, "message")));
        kp_cli_complain(d->cli, &why);
        any = true;
    }
    json_decref(findings);
    return any;
}

static int read_files(struct dry *d, struct kp_error *err)
{
    int rc = kp_policyfile_read(d->cli, &d->files, err);
    struct kp_lint *lint = kp_lint_create();
    for (size_t i = 0; rc == 0 && i < d->files.items.n; i++) {
        const struct kp_policyfile_object *at = &d->files.items.items[i];
        struct kp_error why = {0};
        if (at->object == NULL)
            kp_fail(&why, KP_INVALID, "%s", at->problem);
        else if (kp_policyfile_kind(at->object) != NULL && !complain_of(d, lint, at))
            add_asked(d, at->object, &why);
        if (why.code != 0) {
            kp_wrap(&why, "%s", at->file);
            kp_cli_complain(d->cli, &why);
        }
    }
    kp_lint_destroy(lint);
    if (rc == 0 && d->asked.n == 0 && d->cli->n_failures == 0)
        rc = kp_fail(err, KP_INVALID, "there is no policy in what was given");
    return rc;
}

// ---- the cluster ----

// Whether any policy may select it; namespaceSelectors are looked at later.
static bool may_matter(void *user, const struct kp_pod *pod)
{
    const struct dry *d = user;
    const struct kp_policies *lists[] = {&d->before, &d->after};
    for (size_t k = 0; k < KP_COUNT(lists); k++)
        for (size_t i = 0; i < lists[k]->items.n; i++) {
            const struct kp_policy *policy = lists[k]->items.items[i];
            bool here = kp_policy_is_cluster(policy) || kp_streq(policy->namespace, pod->namespace);
            if (here && policy->selector &&
                kp_selector_matches_fn(policy->selector, kp_pod_label_lookup, pod))
                return true;
        }
    return false;
}

static int list_everywhere(struct dry *d, struct kp_error *err)
{
    struct kp_error why = {0};
    int rc = kp_pods_list(d->cli, NULL, NULL, may_matter, d, &d->pods, &why);
    if (rc != 0 && why.http_status == 403) {
        const char *namespace = kp_session_namespace(d->cli);
        kp_policies_note(&d->after, "only pods of namespace '%s' are looked at: %s", namespace, why.text);
        return kp_pods_list(d->cli, namespace, NULL, may_matter, d, &d->pods, err);
    }
    if (rc != 0 && err != NULL)
        *err = why;
    return rc;
}

static int list_pods(struct dry *d, struct kp_error *err)
{
    int rc = 0;
    if (d->is_everywhere)
        return list_everywhere(d, err);
    for (size_t i = 0; rc == 0 && i < d->asked.n; i++) {
        const char *namespace = d->asked.items[i]->namespace;
        bool known = false;
        for (size_t k = 0; k < i; k++)
            known |= kp_streq(d->asked.items[k]->namespace, namespace);
        if (!known)
            rc = kp_pods_list(d->cli, namespace, NULL, may_matter, d, &d->pods, err);
    }
    return rc;
}

static bool is_of_one_namespace(const struct dry *d)
{
    for (size_t i = 0; i < d->asked.n; i++)
        if (!kp_streq(d->asked.items[i]->namespace, d->asked.items[0]->namespace))
            return false;
    return !d->is_everywhere;
}

static int read_labels(struct dry *d, struct kp_error *err)
{
    const char *namespace = NULL;
    const struct kp_labels *ignored;
    int rc = d->is_everywhere ? kp_policies_all_labels(d->cli, &d->after, err) : 0;
    for (size_t i = 0; rc == 0 && i < d->pods.items.n; i++) {
        if (!kp_streq(namespace, d->pods.items.items[i]->namespace))
            rc = kp_policies_labels(
                d->cli, &d->after, namespace = d->pods.items.items[i]->namespace, &ignored, err);
    }
    return rc;
}

static int read_cluster(struct dry *d, struct kp_error *err)
{
    const char *namespace = is_of_one_namespace(d) ? d->asked.items[0]->namespace : NULL;
    int rc = kp_policies_read(d->cli, namespace, &d->after, err);
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < d->after.items.n; i++)
        *kp_array_add(&d->before.items) = kp_policy_ref(d->after.items.items[i]);
    for (size_t i = 0; i < d->asked.n; i++)
        kp_policies_put(&d->after, kp_policy_ref(d->asked.items[i]));
    rc = list_pods(d, err);
    return rc == 0 ? read_labels(d, err) : rc;
}

// ---- sizes of what is kept ----

static double mean_size(const json_t *items, const char *namespace)
{
    double sum = 0;
    size_t n = 0;
    size_t i;
    json_t *item;
    json_array_foreach(items, i, item)
    {
        const char *of = json_string_value(json_object_get(item, "namespace"));
        if (of != NULL && !kp_streq(of, namespace))
            continue;
        sum += (double)json_integer_value(json_object_get(item, "sizeBytes"));
        n++;
    }
    return n > 0 ? sum / (double)n : 0;
}

// The question goes to that namespace alone, whatever the session's is: who may read no other gets an answer.
static int ask_namespace(
    struct dry *d, const char *namespace, const struct kp_query *query, json_t **ret, struct kp_error *err)
{
    struct kp_cli *cli = d->cli;
    char *const session = cli->session->config.namespace;
    char *const flag = cli->flags.namespace;
    bool everywhere = cli->flags.all_namespaces;
    kp_auto_free char *own = kp_strdup(namespace);
    cli->session->config.namespace = own;
    cli->flags.namespace = own;
    cli->flags.all_namespaces = false;
    int rc = kp_ask_json(cli, "profiles", query, ret, err);
    cli->session->config.namespace = session;
    cli->flags.namespace = flag;
    cli->flags.all_namespaces = everywhere;
    return rc;
}

// Of the newest profiles of that service and type; 0: there are none, below 0: not known.
static double ask_size(struct dry *d, const char *namespace, const char *service, const char *type)
{
    struct kp_query query;
    struct kp_error why = {0};
    json_t *answer = NULL;
    if (d->n_questions >= MAX_SIZES || json_object_get(d->refused, namespace) != NULL)
        return -1;
    d->n_questions++;
    kp_query_init(&query);
    kp_query_add(&query, "service", service);
    kp_query_add(&query, "type", type);
    kp_query_add(&query, "limit", SIZES_OF);
    int rc = ask_namespace(d, namespace, &query, &answer, &why);
    kp_query_finish(&query);
    if (rc != 0) {
        json_object_set_new(d->refused, namespace, json_true());
        if (why.http_status != 403)
            d->n_questions = MAX_SIZES; // it will not be better in another
        kp_policies_note(&d->after, "sizes of profiles are not known: %s", why.text);
        return -1;
    }
    double size = mean_size(json_object_get(answer, "items"), namespace);
    json_decref(answer);
    return size;
}

static void add_size(struct dry *d, json_t *row)
{
    const char *namespace = json_string_value(json_object_get(row, "namespace"));
    const char *service = json_string_value(json_object_get(row, "service"));
    const char *type = json_string_value(json_object_get(row, "type"));
    kp_auto_free char *key = kp_asprintf("%s/%s/%s", namespace, service, type);
    const json_t *known = json_object_get(d->sizes, key);
    double size = known ? json_number_value(known) : ask_size(d, namespace, service, type);
    json_object_set_new(d->sizes, key, json_real(size));
    if (size < 0)
        json_object_set_new(row, "bytesUnknown", json_true());
    if (size > 0) {
        double per_day = HOURS_OF_DAY * json_number_value(json_object_get(row, "capturesPerHour"));
        json_object_set_new(row, "bytesPerCapture", json_real(size));
        json_object_set_new(row, "bytesPerDay", json_real(size * per_day));
    }
}

static void add_sizes(struct dry *d, json_t *data)
{
    size_t i;
    size_t k;
    json_t *policy;
    json_t *row;
    if (d->after.is_missing && !kp_ask_is_direct(d->cli))
        return;
    json_array_foreach(json_object_get(data, "policies"), i, policy)
        json_array_foreach(json_object_get(policy, "captures"), k, row) add_size(d, row);
}

// ---- the command ----

static int print(struct dry *d, const struct kp_output *output, json_t *data, struct kp_error *err)
{
    size_t i;
    json_t *note;
    for (i = 0; i < d->asked.n; i++)
        if (json_object_get(d->suspended, d->asked.items[i]->key) != NULL)
            json_object_set_new(
                json_array_get(json_object_get(data, "policies"), i), "suspended", json_true());
    if (kp_output_is_data(output)) {
        json_object_set(data, "notes", d->after.notes);
        return kp_output_print(d->cli, output, data, err);
    }
    kp_dryrun_text(data, d->cli->out);
    fflush(d->cli->out);
    json_array_foreach(d->after.notes, i, note) kp_cli_note(d->cli, "%s", json_string_value(note));
    return 0;
}

static int run(struct dry *d, const struct kp_output *output, struct kp_error *err)
{
    int rc = kp_session_connect(d->cli, err);
    if (rc == 0)
        rc = read_files(d, err);
    if (rc != 0 || d->asked.n == 0)
        return rc;
    rc = read_cluster(d, err);
    if (rc != 0)
        return rc;
    const struct kp_dryrun dryrun = {.before = &d->before,
        .after = &d->after,
        .asked = d->asked.items,
        .n_asked = d->asked.n,
        .pods = &d->pods,
        .now_ms = kp_now_ms()};
    json_t *data = kp_dryrun_data(&dryrun);
    add_sizes(d, data);
    rc = d->cli->session->is_interrupted ? kp_fail(err, KP_CANCELED, "interrupted")
                                         : print(d, output, data, err);
    json_decref(data);
    return rc;
}

int kp_cli_policy_dry_run(struct kp_cli *cli, struct kp_error *err)
{
    struct dry d = {.cli = cli, .suspended = json_object(), .sizes = json_object(), .refused = json_object()};
    struct kp_output output = {0};
    int rc = kp_output_parse_facts(cli, &output, err);
    if (rc == 0)
        rc = run(&d, &output, err);
    kp_output_finish(&output);
    for (size_t i = 0; i < d.asked.n; i++)
        kp_policy_unref(d.asked.items[i]);
    kp_array_free(&d.asked);
    kp_pods_finish(&d.pods);
    kp_policies_finish(&d.before);
    kp_policies_finish(&d.after);
    kp_policyfile_finish(&d.files);
    json_decref(d.suspended);
    json_decref(d.sizes);
    json_decref(d.refused);
    return rc;
}
