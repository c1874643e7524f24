#include "cli/reporting.h"

#include "base/alloc.h"
#include "base/duration.h"
#include "base/regex.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/banned.h"

static int check_regex(
    struct kp_cli *cli, const char *flag, const char *text, const char **ret, struct kp_error *err)
{
    struct kp_regex *regex = NULL;
    struct kp_error why = {0};
    *ret = kp_cli_given(text) ? text : NULL;
    if (*ret == NULL)
        return 0;
    int rc = kp_regex_compile(text, &regex, &why);
    kp_regex_destroy(regex);
    return rc == 0 ? 0 : kp_cli_usage(cli, err, "--%s: %s", flag, why.text);
}

int kp_cli_report_parse(struct kp_cli *cli, struct kp_cli_report *ret, struct kp_error *err)
{
    const struct kp_cli_flags *f = &cli->flags;
    struct kp_report_options *o = &ret->options;
    *ret = (struct kp_cli_report){.options = {.sample_type = f->sample_type,
                                      .sort_cum = f->cum,
                                      .limit = (size_t)f->limit,
                                      .min_share = f->limit > 0 ? 0 : KP_CLI_MIN_SHARE}};
    if (kp_cli_given(f->by) && !kp_report_by_parse(f->by, &o->by, &o->label))
        return kp_cli_usage(
            cli, err, "--by '%.60s' is none of function, line, file, package and label=KEY", f->by);
    ret->has_json = kp_streq(f->output, "json");
    if (kp_cli_given(f->output) && !ret->has_json)
        return kp_cli_usage(cli, err, "-o '%.40s' is not known here: json, or nothing", f->output);
    int rc = check_regex(cli, "focus", f->focus, &o->focus, err);
    if (rc == 0)
        rc = check_regex(cli, "ignore", f->ignore, &o->ignore, err);
    return rc != 0 ? rc : check_regex(cli, "hide", f->hide, &o->hide, err);
}

void kp_cli_note_durations(
    struct kp_cli *cli, const struct kp_profile *profile, const struct kp_profile *base)
{
    char own[KP_DURATION_TEXT];
    char other[KP_DURATION_TEXT];
    int64_t a = profile->duration_ns;
    int64_t b = base->duration_ns;
    if (cli->flags.normalize || a <= 0 || b <= 0 || (a / 5 <= b / 4 && b / 5 <= a / 4))
        return;
    kp_cli_note(cli,
        "this is of %s and the base of %s: values differ for that alone; --normalize compares shares",
        kp_duration_format(own, a / 1000000000 * 1000), kp_duration_format(other, b / 1000000000 * 1000));
}

void kp_cli_note_nothing_left(struct kp_cli *cli)
{
    const struct kp_cli_flags *f = &cli->flags;
    const struct {
        const char *flag, *value;
    } rows[] = {{"focus", f->focus}, {"ignore", f->ignore}, {"hide", f->hide}};
    kp_auto_strbuf flags;
    kp_strbuf_init(&flags, 4096);
    for (size_t i = 0; i < KP_COUNT(rows); i++)
        if (kp_cli_given(rows[i].value))
            kp_strbuf_addf(&flags, "%s--%s '%.80s'", flags.len > 0 ? ", " : "", rows[i].flag, rows[i].value);
    if (flags.len > 0)
        kp_cli_note(cli, "nothing is left by %s", flags.data);
}
