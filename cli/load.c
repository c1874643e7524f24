// load: files into the registry.
#include <string.h>
#include <sys/stat.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/labels.h"
#include "base/limits.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "cli/ask.h"
#include "cli/command.h"
#include "cli/gotest.h"
#include "cli/guess.h"
#include "cli/source.h"
#include "base/banned.h"

struct file {
    const char *path;
    char *data;
    size_t len;
    struct kp_profile *profile; // NULL: a trace
    struct kp_go_test test;
    char guessed[KP_MAX_TYPE_NAME + 1];
    const char *type, *service;
};

static void file_finish(struct file *file)
{
    kp_free(file->data);
    kp_profile_free(file->profile);
    kp_go_test_finish(&file->test);
}

// ---- labels ----

struct pairs {
    KP_ARRAY(struct kp_label) list;
};

// Cuts "key=value" in place.
static int add_flags(struct kp_cli *cli, struct pairs *pairs, struct kp_error *err)
{
    for (size_t i = 0; i < cli->flags.labels.n; i++) {
        char *text = cli->flags.labels.items[i];
        char *equals = strchr(text, '=');
        if (equals == NULL || equals == text)
            return kp_cli_usage(cli, err, "--label '%.80s' is not KEY=VALUE", text);
    }
    for (size_t i = 0; i < cli->flags.labels.n; i++) {
        char *text = cli->flags.labels.items[i];
        char *equals = strchr(text, '=');
        *equals = '\0';
        *kp_array_add(&pairs->list) = (struct kp_label){text, equals + 1};
    }
    return 0;
}

static void add_found(const struct kp_go_test *test, struct pairs *pairs)
{
    const struct kp_label found[] = {{"commit", test->commit}, {"benchmark", test->benchmark},
        {"package", test->package ? test->package : test->binary}};
    for (size_t i = 0; i < KP_COUNT(found); i++)
        if (found[i].value != NULL)
            *kp_array_add(&pairs->list) = found[i];
}

// What was found, and what was said: that counts where both are there.
static char *labels_text(const struct file *file, const struct pairs *said)
{
    struct pairs all = {0};
    struct kp_strbuf out;
    add_found(&file->test, &all);
    for (size_t i = 0; i < said->list.n; i++)
        *kp_array_add(&all.list) = said->list.items[i];
    struct kp_labels *labels = kp_labels_create(all.list.items, all.list.n);
    kp_strbuf_init(&out, (size_t)KP_MIB);
    kp_labels_format(labels, &out);
    kp_labels_destroy(labels);
    kp_array_free(&all.list);
    return kp_strbuf_take(&out, NULL);
}

// ---- one file ----

static int find_type(struct kp_cli *cli, struct file *file, struct kp_error *err)
{
    const char *said = cli->flags.types.n > 0 ? cli->flags.types.items[0] : NULL;
    const char *guessed =
        file->profile == NULL ? "trace" : kp_guess_type(file->profile, file->guessed, sizeof file->guessed);
    file->type = said ? said : guessed;
    if (file->type == NULL)
        return kp_fail(err, KP_INVALID, "its sample types do not tell what it is of: say --type");
    if (guessed != NULL && kp_guess_contradicts(guessed, file->type)) // it would spoil sums of that type
        return kp_fail(err, KP_INVALID, "it is of %s, not of %s: leave --type out", guessed, file->type);
    return 0;
}

static int find_service(struct kp_cli *cli, struct file *file, struct kp_error *err)
{
    file->service = cli->flags.service;
    if (kp_cli_given(file->service))
        return 0;
    const char *package = file->test.package ? file->test.package : file->test.binary;
    const char *slash = package ? strrchr(package, '/') : NULL;
    file->service = slash ? slash + 1 : package;
    if (file->service == NULL)
        return kp_fail(err, KP_INVALID, "it is of no test program, so say which service it is of: --service");
    return 0;
}

static int open_file(struct kp_cli *cli, struct file *file, struct kp_error *err)
{
    int rc = kp_source_read_file(file->path, &file->data, &file->len, err);
    if (rc == 0 && !kp_guess_is_trace(file->data, file->len))
        rc = kp_profile_decode(file->data, file->len, NULL, &file->profile, err);
    if (rc == 0 && file->profile && file->profile->n_samples == 0)
        rc = kp_fail(err, KP_INVALID, "it has no samples, so there is nothing to keep");
    if (rc == 0 && cli->flags.from_go_test && file->profile)
        kp_go_test_find(file->path, file->profile, &file->test);
    if (rc == 0)
        rc = find_type(cli, file, err);
    return rc == 0 ? find_service(cli, file, err) : rc;
}

// Traces, and profiles that do not know their time, are as old as their file.
static void add_time(const struct file *file, struct kp_query *query)
{
    struct stat st;
    char text[KP_TIME_TEXT];
    bool has_own = file->profile && file->profile->time_ns > 0;
    if (!has_own && !kp_streq(file->path, "-") && stat(file->path, &st) == 0)
        kp_query_add(query, "time", kp_time_format(text, (int64_t)st.st_mtim.tv_sec * 1000));
}

static void print_stored(struct kp_cli *cli, const struct file *file, const char *id, const char *labels)
{
    kp_auto_free char *line =
        kp_asprintf("%s %s %s%s%s\n", id, file->type, file->path, labels[0] ? " " : "", labels);
    kp_cli_write(cli, cli->out, line, strlen(line));
}

static int store(struct kp_cli *cli, const struct file *file, const struct pairs *said, struct kp_error *err)
{
    struct kp_query query;
    kp_auto_free char *labels = labels_text(file, said);
    kp_auto_free char *id = NULL;
    kp_query_init(&query);
    kp_query_add(&query, "service", file->service);
    kp_query_add(&query, "type", file->type);
    kp_query_add(&query, "labels", labels);
    add_time(file, &query);
    int rc = kp_ask_store(cli, NULL, &query, file->data, file->len, &id, err);
    kp_query_finish(&query);
    if (rc == 0 && id[0] == '\0')
        return kp_fail(err, KP_CONFLICT, "the registry did not keep it: it is older than its namespace");
    if (rc == 0)
        print_stored(cli, file, id, labels);
    return rc;
}

static void say_found(struct kp_cli *cli, const struct file *file)
{
    const struct kp_go_test *t = &file->test;
    if (!cli->flags.from_go_test)
        return;
    if (t->commit == NULL)
        kp_cli_note(cli, "%s: no commit: neither it nor this folder is in a git repository", file->path);
    if (t->package == NULL && t->binary == NULL)
        kp_cli_note(cli, "%s: no package: it is of no test program", file->path);
    if (t->n_benchmarks > 1)
        kp_cli_note(cli, "%s: no benchmark: it is of %u; run one with -bench to have it labelled", file->path,
            t->n_benchmarks);
}

static int load(struct kp_cli *cli, const char *path, const struct pairs *said, struct kp_error *err)
{
    struct file file = {.path = path};
    int rc = open_file(cli, &file, err);
    if (rc == 0) {
        say_found(cli, &file);
        rc = store(cli, &file, said, err);
    }
    file_finish(&file);
    return rc != 0 && strstr(err->text, path) == NULL ? kp_wrap(err, "%.100s", path) : rc;
}

// The registry does not ask whether there is such a namespace: it would keep what nobody finds again.
static int check_namespace(struct kp_cli *cli, struct kp_error *err)
{
    json_t *found = NULL;
    if (kp_ask_is_direct(cli))
        return 0;
    int rc = kp_session_connect(cli, err);
    if (rc != 0)
        return rc;
    kp_auto_free char *path = kp_asprintf("/api/v1/namespaces/%s", kp_session_namespace(cli));
    rc = kp_session_json(cli, "GET", path, NULL, &found, err);
    json_decref(found);
    if (rc != 0 && err->http_status == 404) {
        kp_error_clear(err);
        return kp_fail(err, KP_NOT_FOUND,
            "there is no namespace '%.80s': make it, or say another one with -n", kp_session_namespace(cli));
    }
    if (rc != 0 && err->http_status == 403) { // may store, but not look
        kp_error_clear(err);
        return 0;
    }
    return rc;
}

int kp_cli_load(struct kp_cli *cli, struct kp_error *err)
{
    struct pairs said = {0};
    if (cli->flags.types.n > 1)
        return kp_cli_usage(cli, err, "one --type for all files; without it each is looked at");
    if (!kp_cli_given(cli->flags.service) && !cli->flags.from_go_test)
        return kp_cli_usage(cli, err, "say which service they are of: --service");
    int rc = add_flags(cli, &said, err);
    if (rc == 0)
        rc = check_namespace(cli, err);
    for (size_t i = 0; rc == 0 && i < cli->n_args; i++) {
        struct kp_error why = {0};
        if (load(cli, cli->args[i], &said, &why) == KP_CANCELED)
            rc = kp_fail(err, KP_CANCELED, "interrupted");
        else if (why.code != 0) // the others can do without it
            kp_cli_complain(cli, &why);
    }
    kp_array_free(&said.list);
    return rc;
}
