#include "cli/source.h"

#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/blob.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/text.h"
#include "cli/ask.h"
#include "cli/command.h"
#include "profile/filter.h"
#include "profile/merge.h"
#include "base/banned.h"

// ---- what is asked for ----

static bool is_of_registry(const struct kp_cli_flags *f)
{
    return kp_cli_given(f->service) || kp_cli_given(f->from) || kp_cli_given(f->to) ||
           kp_cli_given(f->selector) || kp_cli_given(f->revision) || f->types.n > 0 || f->all_namespaces;
}

static char *join_selector(const char *a, const char *key, const char *how, const char *value)
{
    if (!kp_cli_given(key))
        return kp_strdup(kp_cli_given(a) ? a : "");
    bool both = kp_cli_given(a);
    return kp_asprintf("%s%s%s%s%s", both ? a : "", both ? "," : "", key, how, value);
}

static int parse_workload(struct kp_cli *cli, const char *arg, struct kp_source *ret, struct kp_error *err)
{
    const struct kp_cli_flags *f = &cli->flags;
    const char *name = NULL;
    const char *kind = kp_source_workload_kind(arg, &name);
    if (strchr(arg, '/') != NULL && kind == NULL && !kp_ask_is_direct(cli))
        return kp_cli_usage(cli, err,
            "'%.80s' is no file, and no KIND/NAME of a kind that runs pods (deploy, sts, ds, job, cronjob, "
            "pod ...)",
            arg);
    ret->kind = KP_SOURCE_WORKLOAD;
    ret->name = kp_strdup(kind ? name : arg);
    ret->service = kp_strdup(kind ? f->service : arg);
    if (kind == NULL)
        ret->selector = join_selector(f->selector, NULL, NULL, NULL);
    else if (kp_streq(kind, "Pod"))
        ret->selector = join_selector(f->selector, "k8s.pod", "=", name);
    else {
        kp_auto_free char *workload = kp_asprintf("%s/%s", kind, name);
        ret->selector = join_selector(f->selector, "k8s.workload", "=", workload);
    }
    ret->from = kp_strdup(f->from);
    ret->to = kp_strdup(f->to);
    ret->revision = kp_strdup(f->revision);
    ret->is_type_said = f->types.n > 0 || kp_cli_given(f->profile_type);
    ret->type = kp_strdup(f->types.n > 0 ? f->types.items[0] : ret->is_type_said ? f->profile_type : "cpu");
    if (f->types.n > 1)
        return kp_cli_usage(cli, err, "one type at a time: profiles of different types do not add up");
    return 0;
}

static int check_same_kind(struct kp_cli *cli, char *const *args, size_t n, struct kp_error *err)
{
    static const char *const words[] = {"a file", "an id", "a workload"};
    enum kp_source_kind first = kp_source_kind_of(args[0]);
    for (size_t i = 1; i < n; i++) {
        enum kp_source_kind kind = kp_source_kind_of(args[i]);
        if (kind != first)
            return kp_cli_usage(cli, err, "'%.80s' is %s, but '%.80s' is %s: they are not added up", args[0],
                words[first], args[i], words[kind]);
        if (kind == KP_SOURCE_WORKLOAD)
            return kp_cli_usage(cli, err, "one workload at a time: -l SELECTOR can take in more");
    }
    if (first == KP_SOURCE_FILES && cli->flags.startup)
        return kp_cli_usage(cli, err, "--startup chooses among what is kept, but '%.80s' is a file", args[0]);
    if (first != KP_SOURCE_WORKLOAD && cli->flags.types.n > 0 &&
        kp_command_takes(cli->command, "sample-type"))
        return kp_cli_usage(cli, err,
            "--type chooses profiles of a workload, but '%.80s' is %s: which of its values is looked at says "
            "--sample-type (inuse_space, alloc_objects, cpu ...)",
            args[0], words[first]);
    if (first != KP_SOURCE_WORKLOAD && is_of_registry(&cli->flags))
        return kp_cli_usage(cli, err,
            "--service, --type, --selector, --revision, --from, --to and -A choose profiles of a workload, "
            "but "
            "'%.80s' is %s",
            args[0], words[first]);
    return 0;
}

int kp_source_parse(
    struct kp_cli *cli, char *const *args, size_t n_args, struct kp_source *ret, struct kp_error *err)
{
    *ret = (struct kp_source){0};
    if (n_args == 0 && !kp_cli_given(cli->flags.service))
        return kp_cli_usage(cli, err, "say of what: a workload, files or ids");
    if (n_args == 0)
        return parse_workload(cli, cli->flags.service, ret, err);
    int rc = check_same_kind(cli, args, n_args, err);
    if (rc != 0)
        return rc;
    ret->kind = kp_source_kind_of(args[0]);
    if (ret->kind == KP_SOURCE_WORKLOAD)
        return parse_workload(cli, args[0], ret, err);
    ret->args = kp_memdup(args, n_args * sizeof *args);
    ret->n_args = n_args;
    ret->type = kp_strdup("");
    return 0;
}

// ---- a pair ----

static int parse_base(
    struct kp_cli *cli, const struct kp_source *of, struct kp_source *ret, struct kp_error *err)
{
    const struct kp_cli_flags *f = &cli->flags;
    const char *what = kp_cli_given(f->base) ? f->base : "";
    bool is_revision = kp_starts_with(what, "revision=");
    bool is_changed = is_revision || kp_cli_given(f->base_from) || kp_cli_given(f->base_to) ||
                      kp_cli_given(f->base_selector);
    bool is_own = what[0] != '\0' && !is_revision;
    if (is_changed && (is_own ? kp_source_kind_of(what) : of->kind) != KP_SOURCE_WORKLOAD)
        return kp_cli_usage(cli, err,
            "--base-from, --base-to, --base-selector and --base revision=NAME are "
            "of a workload; of files and ids name both, the base first");
    struct kp_cli other = *cli; // what is not given is as in the profile
    if (kp_cli_given(f->base_from))
        other.flags.from = f->base_from;
    if (kp_cli_given(f->base_to))
        other.flags.to = f->base_to;
    if (kp_cli_given(f->base_selector))
        other.flags.selector = f->base_selector;
    if (is_revision)
        other.flags.revision = cli->flags.base + strlen("revision=");
    if (of->kind != KP_SOURCE_WORKLOAD || (is_own && kp_source_kind_of(what) != KP_SOURCE_WORKLOAD)) {
        other.flags.service = other.flags.from = other.flags.to = other.flags.selector =
            other.flags.revision = NULL;
        other.flags.types.n = 0;
        other.flags.startup = false;
    }
    char *arg = is_own ? cli->flags.base : cli->n_args > 0 ? cli->args[0] : NULL;
    int rc = kp_source_parse(&other, &arg, arg != NULL, ret, err);
    cli->is_usage_wrong |= other.is_usage_wrong;
    return rc;
}

// Without a revision of its own, what is compared with a revision is all others: had both sides that one, it
// would hide the difference.
static void leave_out_base(const struct kp_cli_flags *f, struct kp_source *source)
{
    if (!kp_cli_given(f->base) || !kp_starts_with(f->base, "revision=") || kp_cli_given(f->revision))
        return;
    const char *revision = f->base + strlen("revision=");
    kp_auto_free char *all = source->selector;
    source->selector = revision[0] ? join_selector(all, "k8s.revision", "!=", revision) : kp_take(all);
}

int kp_source_parse_pair(struct kp_cli *cli, bool needs_base, struct kp_source *ret,
    struct kp_source *ret_base, bool *ret_has_base, struct kp_error *err)
{
    const struct kp_cli_flags *f = &cli->flags;
    *ret = *ret_base = (struct kp_source){0};
    bool by_flags = kp_cli_given(f->base) || kp_cli_given(f->base_from) || kp_cli_given(f->base_to) ||
                    kp_cli_given(f->base_selector);
    bool by_args = needs_base && !by_flags && cli->n_args == 2;
    *ret_has_base = by_flags || by_args;
    if (needs_base && !*ret_has_base)
        return kp_cli_usage(cli, err,
            cli->n_args > 2 ? "two at a time: the first is the base"
                            : "say what to compare with: --base, --base-from and --base-to, or "
                              "--base-selector; or name two files or ids, the base first");
    if (by_args) {
        int rc = kp_source_parse(cli, cli->args, 1, ret_base, err);
        return rc != 0 ? rc : kp_source_parse(cli, cli->args + 1, 1, ret, err);
    }
    int rc = kp_source_parse(cli, cli->args, cli->n_args, ret, err);
    if (rc == 0 && by_flags)
        rc = parse_base(cli, ret, ret_base, err);
    if (rc == 0 && ret->kind == KP_SOURCE_WORKLOAD)
        leave_out_base(f, ret);
    return rc;
}

void kp_source_finish(struct kp_source *source)
{
    kp_free(source->args);
    kp_free(source->name);
    kp_free(source->service);
    kp_free(source->selector);
    kp_free(source->from);
    kp_free(source->to);
    kp_free(source->revision);
    kp_free(source->type);
    *source = (struct kp_source){0};
}

char *kp_source_title(const struct kp_source *source)
{
    if (source->kind == KP_SOURCE_WORKLOAD)
        return kp_asprintf("%s %s", source->name, source->type);
    const char *first = kp_streq(source->args[0], "-") ? "standard input" : source->args[0];
    return source->n_args == 1 ? kp_strdup(first) : kp_asprintf("%s and %zu more", first, source->n_args - 1);
}

// ---- files ----

static int read_stdin(char **ret, size_t *ret_len, struct kp_error *err)
{
    size_t len = 0;
    size_t cap = (size_t)64 * KP_KIB;
    kp_auto_free char *data = kp_alloc(cap);
    for (;;) {
        ssize_t n = read(STDIN_FILENO, data + len, cap - len);
        if (n < 0)
            return kp_fail(err, KP_UNAVAILABLE, "cannot read standard input");
        if (n == 0)
            break;
        len += (size_t)n;
        if (len > KP_MAX_PROFILE_BYTES)
            return kp_fail(
                err, KP_LIMIT, "standard input is longer than %d bytes", (int)KP_MAX_PROFILE_BYTES);
        if (len == cap)
            data = kp_realloc(data, cap *= 2);
    }
    *ret_len = len;
    *ret = kp_take(data);
    return 0;
}

int kp_source_read_file(const char *path, char **ret, size_t *ret_len, struct kp_error *err)
{
    if (kp_streq(path, "-"))
        return read_stdin(ret, ret_len, err);
    return kp_file_read(path, KP_MAX_PROFILE_BYTES, ret, ret_len, err);
}

static int load_file(const char *path, struct kp_profile **ret, struct kp_error *err)
{
    kp_auto_free char *data = NULL;
    size_t len = 0;
    int rc = kp_source_read_file(path, &data, &len, err);
    if (rc != 0)
        return rc;
    rc = kp_profile_decode(data, len, NULL, ret, err);
    return rc != 0 ? kp_wrap(err, "%.100s", kp_streq(path, "-") ? "standard input" : path) : 0;
}

static int load_files(const struct kp_source *source, struct kp_profile **ret, struct kp_error *err)
{
    struct kp_profile **profiles = KP_NEW_ARRAY(struct kp_profile *, source->n_args);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < source->n_args; i++)
        rc = load_file(source->args[i], &profiles[i], err);
    if (rc == 0 && source->n_args == 1)
        *ret = kp_take(profiles[0]);
    else if (rc == 0) {
        rc = kp_profile_common_types(profiles, source->n_args, err);
        if (rc == 0)
            rc = kp_profile_merge((const struct kp_profile *const *)profiles, source->n_args, ret, err);
    }
    for (size_t i = 0; i < source->n_args; i++)
        kp_profile_free(profiles[i]);
    kp_free(profiles);
    return rc;
}

// ---- the registry ----

int kp_source_query(
    struct kp_cli *cli, const struct kp_source *source, struct kp_query *query, struct kp_error *err)
{
    if (cli->flags.startup)
        kp_query_add(query, "startup", "true");
    if (source->kind == KP_SOURCE_WORKLOAD) {
        struct kp_cli asked = *cli;
        asked.flags.service = source->service;
        asked.flags.selector = source->selector;
        asked.flags.from = source->from;
        asked.flags.to = source->to;
        asked.flags.revision = source->revision;
        asked.flags.profile_type = source->type;
        asked.flags.types.n = 0;
        return kp_query_add_flags(&asked, query, err);
    }
    kp_auto_strbuf ids;
    kp_strbuf_init(&ids, KP_MIB);
    for (size_t i = 0; i < source->n_args; i++)
        kp_strbuf_addf(&ids, "%s%s", i > 0 ? "," : "", source->args[i]);
    kp_query_add(query, "ids", ids.data);
    return 0;
}

// With captures of containers' first minutes, which sums leave out, where there are no others yet.
static int ask_young(struct kp_cli *cli, struct kp_query *query, struct kp_blob **ret, struct kp_error *err)
{
    struct kp_error again = {0};
    kp_query_add(query, "startup", "true");
    int rc = kp_ask_bytes(cli, "merge", query, ret, &again);
    if (rc != 0)
        return KP_NOT_FOUND; // what was said first
    kp_error_clear(err);
    kp_cli_note(cli, "there are captures of the containers' first minute only; later sums leave these out");
    return 0;
}

static int ask_merge(
    struct kp_cli *cli, const struct kp_source *source, struct kp_blob **ret, struct kp_error *err)
{
    struct kp_query query;
    kp_query_init(&query);
    int rc = kp_source_query(cli, source, &query, err);
    if (rc == 0)
        rc = kp_ask_bytes(cli, "merge", &query, ret, err);
    if (rc == KP_NOT_FOUND && !cli->flags.startup)
        rc = ask_young(cli, &query, ret, err);
    kp_query_finish(&query);
    return rc;
}

// The service of that name among those that are kept; NULL: there is none. *ret_near: the one that was
// perhaps meant.
static json_t *kept_service(const json_t *services, const char *name, const char **ret_near)
{
    size_t least = 3;
    size_t i;
    json_t *item;
    *ret_near = NULL;
    json_array_foreach(json_object_get(services, "items"), i, item)
    {
        const char *other = json_string_value(json_object_get(item, "service"));
        if (kp_streq(other, name))
            return item;
        size_t distance = other ? kp_edit_distance(name, other) : least;
        if (distance < least)
            least = distance, *ret_near = other;
    }
    return NULL;
}

static const char *service_of(const struct kp_source *source)
{
    return kp_cli_given(source->service) ? source->service : source->name;
}

// The first type that is kept of the service (of KIND/NAME: of the one that is named so); NULL: none.
static char *kept_type(struct kp_cli *cli, const struct kp_source *source)
{
    const char *near;
    json_t *answer = NULL;
    if (kp_ask_json(cli, "services", NULL, &answer, NULL) != 0)
        return NULL;
    const json_t *kept = kept_service(answer, service_of(source), &near);
    const char *type = json_string_value(json_array_get(json_object_get(kept, "types"), 0));
    char *ret = type ? kp_strdup(type) : NULL;
    json_decref(answer);
    return ret;
}

// What was looked for, and what there is: the registry's own sentence knows neither.
static int say_nothing_is_kept(struct kp_cli *cli, const struct kp_source *source, struct kp_error *err)
{
    const char *near = NULL;
    json_t *answer = NULL;
    if (source->kind != KP_SOURCE_WORKLOAD || kp_ask_json(cli, "services", NULL, &answer, NULL) != 0)
        return KP_NOT_FOUND;
    const json_t *kept = kept_service(answer, service_of(source), &near);
    kp_auto_free char *where = kp_ask_is_direct(cli)
                                   ? kp_strdup("by the registry")
                                   : kp_asprintf("in namespace '%s'", kp_session_namespace(cli));
    kp_auto_strbuf types;
    kp_strbuf_init(&types, 1024);
    size_t i;
    json_t *type;
    json_array_foreach(json_object_get(kept, "types"), i, type)
        kp_strbuf_addf(&types, "%s%s", i ? ", " : "", json_string_value(type));
    kp_error_clear(err);
    if (kept != NULL)
        kp_fail(err, KP_NOT_FOUND,
            "nothing of '%s' matches that is kept %s: of it there is %s; look at --type, --selector, --from "
            "and --to",
            service_of(source), where, types.data);
    else
        kp_fail(err, KP_NOT_FOUND,
            "no profiles of '%s' are kept %s%s%s%s; `kubectl pprof get services` shows of what there are",
            service_of(source), where, near ? ": did you mean " : "", near ? near : "", near ? "?" : "");
    json_decref(answer);
    return KP_NOT_FOUND;
}

static int ask_sum(struct kp_cli *cli, struct kp_source *source, struct kp_blob **ret, struct kp_error *err)
{
    struct kp_error why = {0};
    int rc = ask_merge(cli, source, ret, &why);
    kp_auto_free char *type =
        rc == KP_NOT_FOUND && source->kind == KP_SOURCE_WORKLOAD && !source->is_type_said
            ? kept_type(cli, source)
            : NULL;
    if (type != NULL && !kp_streq(type, source->type)) {
        kp_cli_note(cli, "no %s profiles of %s are kept; this is %s", source->type, source->name, type);
        kp_free(source->type);
        source->type = kp_take(type);
        kp_error_clear(&why);
        rc = ask_merge(cli, source, ret, &why);
    }
    source->is_type_said = true;
    if (rc == KP_NOT_FOUND && (strstr(why.text, "no profile matches") || strstr(why.text, "nothing found")))
        rc = say_nothing_is_kept(cli, source, &why);
    if (rc != 0 && err != NULL)
        *err = why;
    return rc;
}

int kp_source_bytes(
    struct kp_cli *cli, struct kp_source *source, struct kp_blob **ret_blob, struct kp_error *err)
{
    *ret_blob = NULL;
    if (source->kind != KP_SOURCE_FILES)
        return ask_sum(cli, source, ret_blob, err);
    return 0;
}

int kp_source_load(
    struct kp_cli *cli, struct kp_source *source, struct kp_profile **ret, struct kp_error *err)
{
    struct kp_blob *blob = NULL;
    if (source->kind == KP_SOURCE_FILES)
        return load_files(source, ret, err);
    int rc = ask_sum(cli, source, &blob, err);
    if (rc == 0)
        rc = kp_profile_decode(blob->data, blob->len, NULL, ret, err);
    kp_blob_unref(blob);
    return rc;
}
