// download: kept profiles, byte by byte as the registry has them.
#include <string.h>

#include "base/alloc.h"
#include "base/blob.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "cli/ask.h"
#include "cli/command.h"
#include "cli/filename.h"
#include "cli/outfile.h"
#include "cli/source.h"
#include "base/banned.h"

#define DIR_MODE 0755
#define MAX_PATH ((size_t)4096)

static const char *text_of(const json_t *facts, const char *key)
{
    const char *text = json_string_value(json_object_get(facts, key));
    return text ? text : "";
}

// Pods cannot take two profiles of a type in the same millisecond, but pushes can.
static char *name_of(const char *id, const json_t *facts, const struct kp_blob *body)
{
    int64_t ms = 0;
    const char *pod = text_of(facts, "pod");
    bool is_push = pod[0] == '\0';
    (void)!kp_time_parse(text_of(facts, "startTime"), &ms, NULL);
    const struct kp_file_name name = {.namespace = text_of(facts, "namespace"),
        .pod = is_push ? text_of(facts, "service") : pod,
        .container = text_of(facts, "container"),
        .type = text_of(facts, "type"),
        .time_ms = ms,
        .id = is_push ? id : "",
        .end = kp_file_name_end(text_of(facts, "format"), body->data, body->len)};
    return kp_file_name_format(&name);
}

static int write_into_folder(
    struct kp_cli *cli, const char *id, const json_t *facts, const struct kp_blob *body, struct kp_error *err)
{
    const char *dir = kp_cli_given(cli->flags.output_dir) ? cli->flags.output_dir : ".";
    kp_auto_free char *name = name_of(id, facts, body);
    kp_auto_free char *path = kp_streq(dir, ".") ? kp_strdup(name) : kp_asprintf("%s/%s", dir, name);
    int rc = kp_out_file(cli, path, body->data, body->len, err);
    if (rc == 0)
        fprintf(cli->out, "%s\n", path);
    return rc;
}

static int download(struct kp_cli *cli, const char *id, bool into_folder, struct kp_error *err)
{
    kp_auto_strbuf what;
    kp_strbuf_init(&what, MAX_PATH);
    kp_strbuf_adds(&what, "profiles/");
    kp_strbuf_add_url(&what, id);
    struct kp_blob *body = NULL;
    json_t *facts = NULL;
    int rc = into_folder ? kp_ask_json(cli, what.data, NULL, &facts, err) : 0;
    if (rc == 0)
        rc = kp_ask_bytes(cli, what.data, NULL, &body, err);
    if (rc == 0)
        rc = into_folder ? write_into_folder(cli, id, facts, body, err)
                         : kp_out_bytes(cli, body->data, body->len, err);
    json_decref(facts);
    kp_blob_unref(body);
    return rc != 0 ? kp_wrap(err, "%.60s", id) : 0;
}

static int check(struct kp_cli *cli, bool into_folder, struct kp_error *err)
{
    for (size_t i = 0; i < cli->n_args; i++)
        if (!kp_source_is_id(cli->args[i]) && !kp_ask_is_direct(cli)) // others' registries have other ids
            return kp_cli_usage(cli, err,
                "'%.80s' is no id of a profile: `kubectl pprof get profiles` shows them", cli->args[i]);
    if (into_folder && kp_cli_given(cli->flags.file))
        return kp_cli_usage(cli, err, "one file cannot hold several profiles: --output-dir FOLDER, or merge");
    return into_folder ? 0 : kp_out_check(cli, false, err);
}

int kp_cli_download(struct kp_cli *cli, struct kp_error *err)
{
    bool into_folder = cli->n_args > 1 || kp_cli_given(cli->flags.output_dir) ||
                       (cli->is_out_tty && !kp_cli_given(cli->flags.file));
    int rc = check(cli, into_folder, err);
    if (rc == 0 && kp_cli_given(cli->flags.output_dir))
        rc = kp_dir_create(cli->flags.output_dir, DIR_MODE, err);
    for (size_t i = 0; rc == 0 && i < cli->n_args; i++) {
        struct kp_error why = {0};
        if (download(cli, cli->args[i], into_folder, &why) == KP_CANCELED)
            return kp_fail(err, KP_CANCELED, "interrupted");
        if (why.code != 0) // the others can do without it
            kp_cli_complain(cli, &why);
    }
    return rc;
}
