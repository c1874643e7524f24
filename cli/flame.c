// flame: a flame graph on the terminal, or as a file.
#include "cli/flame.h"

#include "base/alloc.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/picture.h"
#include "cli/reporting.h"
#include "cli/source.h"
#include "profile/filter.h"
#include "base/banned.h"

static int draw(struct kp_cli *cli, const struct kp_profile *profile, struct kp_profile *base,
    const struct kp_report_options *options, const char *title, struct kp_error *err)
{
    const char *format = cli->flags.format;
    if (!kp_cli_given(format))
        return kp_picture_show(cli, profile, base, options, title, err);
    if (kp_streq(format, "text"))
        return kp_picture_text(cli, profile, base, options, err);
    return kp_picture_print(cli, profile, base, options, format, title, err);
}

int kp_cli_flame(struct kp_cli *cli, struct kp_error *err)
{
    struct kp_cli_report report;
    struct kp_source source = {0};
    struct kp_source base = {0};
    kp_auto_profile *profile = NULL;
    kp_auto_profile *before = NULL;
    bool has_base = false;
    int rc = kp_cli_report_parse(cli, &report, err);
    if (rc != 0)
        return rc;
    report.options.min_share = 0; // a graph is cut by how many nodes it has
    rc = kp_picture_check(cli, "text json svg html folded", err);
    if (rc == 0)
        rc = kp_source_parse_pair(cli, false, &source, &base, &has_base, err);
    if (rc == 0 && cli->flags.normalize && !has_base)
        rc = kp_cli_usage(cli, err, "--normalize is of a comparison: say with what, by --base");
    if (rc == 0)
        rc = kp_source_load(cli, &source, &profile, err);
    if (rc == 0 && has_base && (rc = kp_source_load(cli, &base, &before, err)) != 0)
        kp_wrap(err, "the base");
    if (rc == 0 && has_base)
        rc = kp_profile_common_types((struct kp_profile *[]){profile, before}, 2, err);
    if (rc == 0 && has_base)
        kp_cli_note_durations(cli, profile, before);
    kp_auto_free char *title = rc == 0 ? kp_source_title(&source) : NULL;
    if (rc == 0)
        rc = draw(cli, profile, before, &report.options, title, err);
    kp_source_finish(&source);
    kp_source_finish(&base);
    return rc;
}

int kp_flame_show_file(struct kp_cli *cli, char *path, struct kp_error *err)
{
    struct kp_source source = {.kind = KP_SOURCE_FILES, .args = &path, .n_args = 1};
    kp_auto_profile *profile = NULL;
    int rc = kp_source_load(cli, &source, &profile, err);
    if (rc != 0)
        return rc;
    return kp_picture_show(cli, profile, NULL, &(struct kp_report_options){0}, path, err);
}
