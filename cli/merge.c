// merge: several profiles as one, for other tools.
#include <string.h>

#include "base/blob.h"
#include "base/limits.h"
#include "base/regex.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/outfile.h"
#include "cli/reporting.h"
#include "cli/source.h"
#include "profile/filter.h"
#include "base/banned.h"

#define LEVEL 6

struct regexes {
    struct kp_regex *focus, *ignore, *hide;
};

static int compile(
    struct kp_cli *cli, const char *flag, const char *text, struct kp_regex **ret, struct kp_error *err)
{
    struct kp_error why = {0};
    if (!kp_cli_given(text))
        return 0;
    int rc = kp_regex_compile(text, ret, &why);
    return rc == 0 ? 0 : kp_cli_usage(cli, err, "--%s: %s", flag, why.text);
}

static int compile_all(struct kp_cli *cli, struct regexes *ret, struct kp_error *err)
{
    const struct kp_cli_flags *f = &cli->flags;
    int rc = compile(cli, "focus", f->focus, &ret->focus, err);
    if (rc == 0)
        rc = compile(cli, "ignore", f->ignore, &ret->ignore, err);
    return rc != 0 ? rc : compile(cli, "hide", f->hide, &ret->hide, err);
}

static int filter(struct kp_profile **profile, const struct regexes *r, struct kp_error *err)
{
    const struct kp_profile_filter by = {.focus = r->focus, .ignore = r->ignore, .hide = r->hide};
    if (r->focus == NULL && r->ignore == NULL && r->hide == NULL)
        return 0;
    if (kp_profile_filter(*profile, &by) == 0)
        return kp_fail(err, KP_NOT_FOUND, "nothing is left by --focus, --ignore and --hide");
    return kp_profile_compact(profile, err);
}

static int write_sum(
    struct kp_cli *cli, struct kp_profile **profile, const struct regexes *regexes, struct kp_error *err)
{
    kp_auto_strbuf out;
    kp_strbuf_init(&out, KP_CLI_MAX_TEXT);
    int rc = filter(profile, regexes, err);
    if (rc != 0)
        return rc;
    kp_profile_encode(*profile, LEVEL, &out);
    if (out.overflow)
        return kp_fail(err, KP_LIMIT, "the sum is larger than %zu bytes", KP_CLI_MAX_TEXT);
    return kp_out_bytes(cli, out.data, out.len, err);
}

static int merge(
    struct kp_cli *cli, struct kp_source *source, const struct regexes *regexes, struct kp_error *err)
{
    bool is_filtered = regexes->focus || regexes->ignore || regexes->hide;
    struct kp_blob *blob = NULL;
    kp_auto_profile *profile = NULL;
    int rc = is_filtered ? 0 : kp_source_bytes(cli, source, &blob, err);
    if (rc == 0 && blob != NULL)
        rc = kp_out_bytes(cli, blob->data, blob->len, err);
    else if (rc == 0)
        rc = kp_source_load(cli, source, &profile, err);
    kp_blob_unref(blob);
    return rc != 0 || profile == NULL ? rc : write_sum(cli, &profile, regexes, err);
}

int kp_cli_merge(struct kp_cli *cli, struct kp_error *err)
{
    struct kp_source source = {0};
    struct regexes regexes = {0};
    int rc = kp_out_check(cli, false, err);
    if (rc == 0)
        rc = compile_all(cli, &regexes, err);
    if (rc == 0)
        rc = kp_source_parse(cli, cli->args, cli->n_args, &source, err);
    if (rc == 0)
        rc = merge(cli, &source, &regexes, err);
    kp_source_finish(&source);
    kp_regex_destroy(regexes.focus);
    kp_regex_destroy(regexes.ignore);
    kp_regex_destroy(regexes.hide);
    return rc;
}
