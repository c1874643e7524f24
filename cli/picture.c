#include "cli/picture.h"

#include "base/limits.h"
#include "base/text.h"
#include "cli/outfile.h"
#include "cli/reporting.h"
#include "base/banned.h"

int kp_picture_check(struct kp_cli *cli, const char *words, struct kp_error *err)
{
    const char *format = cli->flags.format;
    if (kp_cli_given(format) && !kp_has_word(words, format))
        return kp_cli_usage(cli, err, "--format '%.40s' is none of %s", format, words);
    return kp_out_check(cli, !kp_streq(format, "pprof"), err);
}

int kp_picture_print(struct kp_cli *cli, const struct kp_profile *profile, const struct kp_profile *base,
    const struct kp_report_options *options, const char *format, const char *title, struct kp_error *err)
{
    struct kp_flame *flame = NULL;
    kp_auto_strbuf out;
    kp_strbuf_init(&out, KP_CLI_MAX_TEXT);
    int rc = kp_report_flame(profile, base, cli->flags.normalize, options, &flame, err);
    if (rc != 0)
        return rc;
    if (kp_streq(format, "json")) {
        kp_flame_json(flame, &out);
        kp_strbuf_addc(&out, '\n');
    } else if (kp_streq(format, "folded")) {
        kp_flame_folded(flame, &out);
    } else if (kp_streq(format, "svg")) {
        kp_flame_svg(flame, title, &out);
    } else if (kp_streq(format, "html")) {
        kp_flame_html(flame, title, &out);
    } else {
        kp_flame_tree(flame, &out);
    }
    kp_flame_free(flame);
    if (out.overflow)
        return kp_fail(err, KP_LIMIT, "the answer is too long: ask for less with --limit or --focus");
    return kp_out_text(cli, out.data, out.len, err);
}
