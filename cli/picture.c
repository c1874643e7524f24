#include "cli/picture.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/text.h"
#include "cli/flameview_run.h"
#include "cli/outfile.h"
#include "cli/reporting.h"
#include "cli/session.h"
#include "cli/terminal.h"
#include "base/banned.h"

#define TEXT_NODES 200
#define VIEW_NODES 200000

// `-O graph.svg` says what is wanted.
static void take_suffix(struct kp_cli *cli, const char *words)
{
    static const struct {
        const char *suffix, *format;
    } rows[] = {{".svg", "svg"}, {".html", "html"}, {".htm", "html"}, {".folded", "folded"},
        {".json", "json"}, {".pb.gz", "pprof"}};
    for (size_t i = 0; i < KP_COUNT(rows) && !kp_cli_given(cli->flags.format); i++) {
        if (!kp_cli_given(cli->flags.file) || !kp_ends_with(cli->flags.file, rows[i].suffix) ||
            !kp_has_word(words, rows[i].format))
            continue;
        kp_free(cli->flags.format);
        cli->flags.format = kp_strdup(rows[i].format);
    }
}

int kp_picture_check(struct kp_cli *cli, const char *words, struct kp_error *err)
{
    take_suffix(cli, words);
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
    if (kp_flame_is_empty(flame))
        kp_cli_note_nothing_left(cli);
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

int kp_picture_text(struct kp_cli *cli, const struct kp_profile *profile, const struct kp_profile *base,
    const struct kp_report_options *options, struct kp_error *err)
{
    struct kp_report_options few = *options;
    if (few.limit == 0) {
        few.limit = TEXT_NODES;
        few.min_share = KP_CLI_MIN_SHARE;
    }
    return kp_picture_print(cli, profile, base, &few, "text", "", err);
}

// ---- on a terminal ----

// Where keys come from: also when the profile came through standard input. -1: nowhere.
static int keyboard(void)
{
    if (kp_terminal_is_usable(STDIN_FILENO))
        return STDIN_FILENO;
    return isatty(STDIN_FILENO) ? -1 : open("/dev/tty", O_RDWR | O_CLOEXEC);
}

static int view(struct kp_cli *cli, int in_fd, const struct kp_profile *profile,
    const struct kp_profile *base, const struct kp_report_options *options, const char *title,
    struct kp_error *err)
{
    struct kp_report_options many = *options;
    struct kp_flame *flame = NULL;
    if (many.limit == 0)
        many.limit = VIEW_NODES;
    int rc = kp_report_flame(profile, base, cli->flags.normalize, &many, &flame, err);
    if (rc != 0)
        return rc;
    fflush(cli->err);
    const struct kp_flameview_options shown = {.flame = flame,
        .title = title,
        .colors = kp_terminal_colors(cli->env),
        .in_fd = in_fd,
        .out_fd = STDOUT_FILENO};
    rc = kp_flameview_run(&shown, err);
    kp_flame_free(flame);
    if (rc == KP_CANCELED) // not worth a word
        kp_session_open(cli)->is_interrupted = true;
    return rc;
}

int kp_picture_show(struct kp_cli *cli, const struct kp_profile *profile, const struct kp_profile *base,
    const struct kp_report_options *options, const char *title, struct kp_error *err)
{
    bool drawable = !kp_cli_given(cli->flags.file) && cli->is_out_tty && kp_terminal_is_usable(STDOUT_FILENO);
    int in_fd = drawable ? keyboard() : -1;
    if (in_fd < 0)
        return kp_picture_text(cli, profile, base, options, err);
    int rc = view(cli, in_fd, profile, base, options, title, err);
    if (in_fd != STDIN_FILENO)
        close(in_fd);
    return rc;
}
