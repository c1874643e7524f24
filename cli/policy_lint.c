// policy lint: policies are checked before they are applied.
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/lint.h"
#include "cli/output.h"
#include "cli/policyfile.h"
#include "base/banned.h"

static bool is_of_us(const json_t *object)
{
    const char *version = json_string_value(json_object_get(object, "apiVersion"));
    const char *kind = json_string_value(json_object_get(object, "kind"));
    return version == NULL || kind == NULL || kp_starts_with(version, KP_GROUP "/") ||
           kp_ends_with(kind, "ProfilingPolicy");
}

// Findings of an object say where it stands.
static void add_all(json_t *all, const struct kp_policyfile_object *at, const char *name, json_t *findings)
{
    size_t i;
    json_t *finding;
    json_array_foreach(findings, i, finding)
    {
        json_object_set_new(finding, "file", json_string(at->file));
        json_object_set_new(finding, "object", name ? json_string(name) : json_null());
        json_array_append(all, finding);
    }
}

static bool is_there_before(const struct kp_policyfile *files, size_t at)
{
    const json_t *metadata = json_object_get(files->items.items[at].object, "metadata");
    kp_auto_free char *name = kp_policyfile_name(files->items.items[at].object);
    for (size_t i = 0; i < at; i++) {
        const json_t *object = files->items.items[i].object;
        if (object == NULL)
            continue;
        kp_auto_free char *other = kp_policyfile_name(object);
        const json_t *namespace = json_object_get(json_object_get(object, "metadata"), "namespace");
        const json_t *own = json_object_get(metadata, "namespace");
        if (kp_streq(name, other) && (namespace == own || json_equal(namespace, own)))
            return true;
    }
    return false;
}

static void lint_all(const struct kp_policyfile *files, json_t *all)
{
    struct kp_lint *lint = kp_lint_create();
    for (size_t i = 0; i < files->items.n; i++) {
        const struct kp_policyfile_object *at = &files->items.items[i];
        json_t *findings = json_array();
        kp_auto_free char *name = at->object ? kp_policyfile_name(at->object) : NULL;
        if (at->problem != NULL)
            json_array_append_new(findings,
                json_pack("{s:s,s:s,s:s}", "severity", "error", "field", "", "message", at->problem));
        else if (is_of_us(at->object)) // files hold other things as well
            kp_lint_object(lint, at->object, findings);
        if (at->object != NULL && is_of_us(at->object) && is_there_before(files, i))
            json_array_append_new(
                findings, json_pack("{s:s,s:s,s:s}", "severity", "warning", "field", "", "message",
                              "is there before; the last one applied is the one that counts"));
        add_all(all, at, name, findings);
        json_decref(findings);
    }
    kp_lint_destroy(lint);
}

static size_t count(const json_t *all, const char *severity)
{
    size_t n = 0;
    size_t i;
    json_t *finding;
    json_array_foreach(all, i, finding) n +=
        kp_streq(json_string_value(json_object_get(finding, "severity")), severity) ? 1 : 0;
    return n;
}

static void print_line(struct kp_cli *cli, const json_t *finding)
{
    char shown[2048];
    const char *field = json_string_value(json_object_get(finding, "field"));
    const char *object = json_string_value(json_object_get(finding, "object"));
    kp_auto_free char *line =
        kp_asprintf("%s: %s%s%s: %s%s%s", json_string_value(json_object_get(finding, "file")),
            object ? object : "", object ? ": " : "", json_string_value(json_object_get(finding, "severity")),
            field, field[0] ? ": " : "", json_string_value(json_object_get(finding, "message")));
    fprintf(cli->out, "%s\n", kp_printable(shown, sizeof shown, line, strlen(line)));
}

static int print(struct kp_cli *cli, const struct kp_output *output, const struct kp_policyfile *files,
    const json_t *all, struct kp_error *err)
{
    size_t i;
    json_t *finding;
    size_t n = 0;
    size_t n_errors = count(all, "error");
    if (n_errors > 0)
        cli->n_failures += (int)(n_errors < 1000 ? n_errors : 1000);
    if (kp_output_is_data(output)) {
        json_t *list = json_pack("{s:s,s:O}", "kind", "List", "items", (json_t *)(uintptr_t)all);
        int rc = kp_output_print(cli, output, list, err);
        json_decref(list);
        return rc;
    }
    json_array_foreach(all, i, finding) print_line(cli, finding);
    for (i = 0; i < files->items.n; i++)
        n += kp_policyfile_kind(files->items.items[i].object) != NULL ? 1 : 0;
    size_t n_warnings = count(all, "warning");
    fprintf(cli->err, "%zu %s, %zu error%s, %zu warning%s\n", n, n == 1 ? "policy" : "policies", n_errors,
        n_errors == 1 ? "" : "s", n_warnings, n_warnings == 1 ? "" : "s");
    return 0;
}

int kp_cli_policy_lint(struct kp_cli *cli, struct kp_error *err)
{
    struct kp_policyfile files = {0};
    struct kp_output output = {0};
    json_t *all = json_array();
    int rc = kp_output_parse_facts(cli, &output, err);
    if (rc == 0)
        rc = kp_policyfile_read(cli, &files, err);
    if (rc == 0) {
        lint_all(&files, all);
        rc = print(cli, &output, &files, all, err);
    }
    kp_policyfile_finish(&files);
    kp_output_finish(&output);
    json_decref(all);
    return rc;
}
