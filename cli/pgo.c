// pgo: a file for `go build -pgo`, and what is behind it.
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/blob.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/text.h"
#include "cli/ask.h"
#include "cli/command.h"
#include "cli/outfile.h"
#include "cli/output.h"
#include "cli/overlap.h"
#include "cli/source.h"
#include "base/banned.h"

#define DEFAULT_FILE "default.pgo"
#define PREPROFILE   "GO PREPROFILE V1\n" // what `go tool preprofile` makes of a profile

struct pgo {
    const char *path; // "-": standard output
    char *before;     // what stands there
    size_t before_len;
    struct kp_profile *previous;
    json_t *facts; // the registry's
    struct kp_blob *body;
    double overlap;   // below 0: nothing to compare with
    int64_t asked_ms; // when: both questions are for the captures there were
};

// ---- what is there already ----

static bool is_preprofile(const char *data, size_t len)
{
    return len >= strlen(PREPROFILE) && memcmp(data, PREPROFILE, strlen(PREPROFILE)) == 0;
}

static bool is_cpu(const struct kp_profile *p)
{
    return kp_profile_type_index(p, "cpu") >= 0 || kp_profile_type_index(p, "samples") >= 0;
}

// default.pgo is there to be written over, as long as it is one.
static int look_at_file(struct kp_cli *cli, struct pgo *pgo, struct kp_error *err)
{
    if (kp_streq(pgo->path, "-") || access(pgo->path, F_OK) != 0)
        return 0;
    int rc = kp_file_read(pgo->path, KP_MAX_PROFILE_BYTES, &pgo->before, &pgo->before_len, err);
    if (rc != 0)
        return rc;
    rc = kp_profile_decode(pgo->before, pgo->before_len, NULL, &pgo->previous, NULL);
    bool is_ours =
        rc == 0 ? is_cpu(pgo->previous) : pgo->before_len == 0 || is_preprofile(pgo->before, pgo->before_len);
    if (is_ours || cli->flags.force)
        return 0;
    return kp_fail(err, KP_CONFLICT,
        "%.150s is there and no CPU profile: --force writes over it, -O FILE writes elsewhere", pgo->path);
}

static int look_at_previous(struct kp_cli *cli, struct pgo *pgo, struct kp_error *err)
{
    kp_auto_free char *data = NULL;
    size_t len;
    if (!kp_cli_given(cli->flags.previous))
        return 0;
    int rc = kp_file_read(cli->flags.previous, KP_MAX_PROFILE_BYTES, &data, &len, err);
    if (rc != 0)
        return rc;
    kp_profile_free(pgo->previous);
    pgo->previous = NULL;
    rc = kp_profile_decode(data, len, NULL, &pgo->previous, err);
    return rc != 0 ? kp_wrap(err, "'%.100s'", cli->flags.previous) : 0;
}

// ---- asking ----

// Both questions are for the same captures: `to` is said even where it is now.
static int make_query(struct kp_cli *cli, const struct kp_source *source, struct pgo *pgo,
    struct kp_query *query, struct kp_error *err)
{
    if (pgo->asked_ms == 0)
        pgo->asked_ms = kp_now_ms();
    int rc = kp_source_query(cli, source, query, err);
    if (rc == 0 && source->kind == KP_SOURCE_WORKLOAD && !kp_cli_given(source->to))
        kp_query_add_time(query, "to", pgo->asked_ms);
    if (cli->flags.max_bytes > 0)
        kp_query_add_int(query, "maxBytes", cli->flags.max_bytes);
    if (cli->flags.inline_all)
        kp_query_add(query, "inlineAll", "true");
    return rc;
}

static int ask_facts(
    struct kp_cli *cli, const struct kp_source *source, struct pgo *pgo, struct kp_error *err)
{
    struct kp_query query;
    kp_query_init(&query);
    int rc = make_query(cli, source, pgo, &query, err);
    if (rc == 0) {
        kp_query_add(&query, "format", "json");
        rc = kp_ask_json(cli, "pgo", &query, &pgo->facts, err);
    }
    kp_query_finish(&query);
    return rc;
}

static int ask_file(struct kp_cli *cli, const struct kp_source *source, struct pgo *pgo, struct kp_error *err)
{
    struct kp_query query;
    kp_query_init(&query);
    int rc = make_query(cli, source, pgo, &query, err);
    if (rc == 0)
        rc = kp_ask_bytes(cli, "pgo", &query, &pgo->body, err);
    kp_query_finish(&query);
    return rc;
}

// The registry's ETag is a hash of the bytes (docs/registry-api.md), so what is here can be told to be the
// same.
static bool is_unchanged(const struct pgo *pgo)
{
    char etag[40];
    if (pgo->before == NULL)
        return false;
    snprintf(etag, sizeof etag, "\"%016llx%016llx\"",
        (unsigned long long)kp_hash64(pgo->before, pgo->before_len, 1),
        (unsigned long long)kp_hash64(pgo->before, pgo->before_len, 2));
    return kp_streq(json_string_value(json_object_get(pgo->facts, "etag")), etag);
}

static int compare(struct pgo *pgo, struct kp_error *err)
{
    kp_auto_profile *profile = NULL;
    if (pgo->previous == NULL)
        return 0;
    int rc = kp_profile_decode(pgo->body->data, pgo->body->len, NULL, &profile, err);
    if (rc == 0)
        pgo->overlap = kp_overlap(profile, pgo->previous);
    return rc;
}

// ---- the report ----

static void say_number(FILE *out, const char *what, const json_t *value, const char *more)
{
    if (json_is_integer(value))
        fprintf(out, "%-22s%lld%s\n", what, (long long)json_integer_value(value), more);
}

static void say_share(FILE *out, const char *what, double share, const char *more)
{
    fprintf(out, "%-22s%.1f %%%s\n", what, 100 * share, more);
}

static void report(const struct kp_cli *cli, const struct pgo *pgo, bool unchanged)
{
    FILE *out = cli->err;
    const json_t *f = pgo->facts;
    const json_t *stats = json_object_get(f, "stats");
    char shown[256];
    size_t i;
    json_t *name;
    say_number(out, "captures:", json_object_get(stats, "profiles"), "");
    say_number(out, "pods:", json_object_get(stats, "pods"), "");
    say_number(out, "of other length:", json_object_get(stats, "otherDurationLeftOut"), " left out");
    fprintf(out, "%-22s%.1f\n", "CPU-seconds:", json_number_value(json_object_get(f, "cpuSeconds")));
    say_share(out, "with start line:", json_number_value(json_object_get(f, "startLineShare")),
        " of the samples; the compiler uses no others");
    double kept = json_number_value(json_object_get(f, "keptShare"));
    if (kept < 1)
        say_share(out, "kept:", kept, " of the weight, to make it small");
    if (json_is_false(json_object_get(f, "fits")))
        fprintf(out, "%-22sno: 99 %% of the weight take more than --max-bytes\n", "small enough:");
    json_array_foreach(json_object_get(f, "notInlined"), i, name)
    {
        const char *text = json_string_value(name);
        if (text != NULL)
            fprintf(out, "%-22s%s\n", i == 0 ? "not to be inlined:" : "",
                kp_printable(shown, sizeof shown, text, strlen(text)));
    }
    if (pgo->overlap >= 0)
        say_share(out, "overlap with before:", pgo->overlap, " of the weight of calls");
    if (unchanged)
        fprintf(out, "%s is unchanged\n", pgo->path);
    else if (!kp_streq(pgo->path, "-"))
        fprintf(out, "%s is written, %lld bytes\n", pgo->path,
            (long long)json_integer_value(json_object_get(f, "bytes")));
}

static int report_json(struct kp_cli *cli, const struct pgo *pgo, bool unchanged, struct kp_error *err)
{
    const struct kp_output output = {.kind = KP_OUTPUT_JSON};
    json_object_set_new(pgo->facts, "file", json_string(pgo->path));
    json_object_set_new(pgo->facts, "unchanged", json_boolean(unchanged));
    if (pgo->overlap >= 0)
        json_object_set_new(pgo->facts, "overlap", json_real(pgo->overlap));
    return kp_output_print(cli, &output, pgo->facts, err);
}

// ---- the command ----

static int write_file(struct kp_cli *cli, struct pgo *pgo, struct kp_error *err)
{
    if (kp_streq(pgo->path, "-"))
        return kp_out_bytes(cli, pgo->body->data, pgo->body->len, err);
    cli->flags.force = true; // what is there was looked at
    return kp_out_file(cli, pgo->path, pgo->body->data, pgo->body->len, err);
}

static int make(struct kp_cli *cli, const struct kp_source *source, struct pgo *pgo, struct kp_error *err)
{
    bool json = kp_streq(cli->flags.output, "json");
    int rc = look_at_file(cli, pgo, err);
    if (rc == 0)
        rc = look_at_previous(cli, pgo, err);
    if (rc == 0)
        rc = ask_facts(cli, source, pgo, err);
    bool unchanged = rc == 0 && is_unchanged(pgo);
    if (rc == 0 && unchanged && !kp_cli_given(cli->flags.previous))
        pgo->overlap = 1;
    else if (rc == 0) {
        rc = ask_file(cli, source, pgo, err);
        if (rc == 0)
            rc = compare(pgo, err);
    }
    if (rc == 0 && !unchanged)
        rc = write_file(cli, pgo, err);
    if (rc == 0 && json)
        rc = report_json(cli, pgo, unchanged, err);
    else if (rc == 0)
        report(cli, pgo, unchanged);
    return rc;
}

static int check(
    struct kp_cli *cli, const struct pgo *pgo, const struct kp_source *source, struct kp_error *err)
{
    bool json = kp_streq(cli->flags.output, "json");
    if (kp_cli_given(cli->flags.output) && !json)
        return kp_cli_usage(cli, err, "-o '%.40s' is not known here: json, or nothing", cli->flags.output);
    if (source->kind == KP_SOURCE_FILES)
        return kp_cli_usage(cli, err,
            "the registry makes the file, of a workload; `go build -pgo` also takes a CPU profile as it is");
    if (json && kp_streq(pgo->path, "-"))
        return kp_cli_usage(cli, err, "-o json and -O - both want standard output");
    return kp_streq(pgo->path, "-") ? kp_out_check(cli, false, err) : 0;
}

int kp_cli_pgo(struct kp_cli *cli, struct kp_error *err)
{
    struct pgo pgo = {.path = kp_cli_given(cli->flags.file) ? cli->flags.file : DEFAULT_FILE, .overlap = -1};
    struct kp_source source = {0};
    int rc = kp_source_parse(cli, cli->args, cli->n_args, &source, err);
    if (rc == 0)
        rc = check(cli, &pgo, &source, err);
    if (rc == 0)
        rc = make(cli, &source, &pgo, err);
    kp_source_finish(&source);
    kp_free(pgo.before);
    kp_profile_free(pgo.previous);
    json_decref(pgo.facts);
    kp_blob_unref(pgo.body);
    return rc;
}
