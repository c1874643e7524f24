// `__man [markdown]`: the man page kubectl-pprof(1), and docs/kubectl-pprof.md, from the table of commands.
#include <string.h>

#include "base/strbuf.h"
#include "base/text.h"
#include "cli/command.h"
#include "base/banned.h"

static const char about[] = "Profiles of what runs in Kubernetes: take them, find them, look at them.\n";
static const char exits[] =
    "0: all done; 1: something failed, each failure is named; 2: wrong usage; 130: interrupted.\n";
static const char environment[] = "KUBECONFIG: as for kubectl. KUBE_PPROF_REGISTRY, KUBE_PPROF_TOKEN: as "
                                  "--registry, and its bearer token. NO_COLOR: no "
                                  "colours. HTTPS_PROXY, NO_PROXY: as for kubectl.\n";

struct page {
    FILE *out;
    bool is_troff;
};

// troff reads lines that begin with a dot or a quote, backslashes, and minus signs as hyphens.
static void text(const struct page *page, const char *s)
{
    for (bool begins = true; *s; begins = *s == '\n', s++) {
        if (page->is_troff && begins && (*s == '.' || *s == '\''))
            fputs("\\&", page->out);
        if (page->is_troff && (*s == '\\' || *s == '-'))
            fputc('\\', page->out);
        fputc(*s, page->out);
    }
}

static void heading(const struct page *page, const char *title, bool is_small)
{
    if (page->is_troff)
        fprintf(page->out, ".%s ", is_small ? "SS" : "SH");
    else
        fprintf(page->out, "%s%s ", "\n", is_small ? "###" : "##");
    text(page, title);
    fputs(page->is_troff ? "\n" : "\n\n", page->out);
}

static void code(const struct page *page, const char *s)
{
    fputs(page->is_troff ? ".PP\n.nf\n" : "", page->out);
    for (size_t len; *s; s += len + (s[len] == '\n')) {
        len = strcspn(s, "\n");
        kp_auto_strbuf line;
        kp_strbuf_init(&line, 4096);
        kp_strbuf_addf(&line, "%s%.*s\n", page->is_troff ? "" : "    ", (int)len, s);
        text(page, line.data);
    }
    fputs(page->is_troff ? ".fi\n" : "", page->out);
}

static void flag(const struct page *page, const struct kp_option *row)
{
    char letter = kp_cli_letter(row->flag);
    kp_auto_strbuf names;
    kp_strbuf_init(&names, 4096);
    if (letter && strlen(row->flag) > 1)
        kp_strbuf_addf(&names, "-%c, ", letter);
    kp_strbuf_addf(&names, "--%s", row->flag);
    if (row->type != KP_OPTION_BOOL)
        kp_strbuf_addf(&names, "=%s", row->what ? row->what : "VALUE");
    fputs(page->is_troff ? ".TP\n.B " : "- `", page->out);
    text(page, names.data);
    fputs(page->is_troff ? "\n" : "`: ", page->out);
    text(page, row->help);
    if (row->def && row->def[0] && !kp_streq(row->def, "0")) {
        fputs(" Default: ", page->out);
        text(page, row->def);
        fputs(".", page->out);
    }
    fputc('\n', page->out);
}

static void command(const struct page *page, const struct kp_command *c)
{
    kp_auto_strbuf line;
    kp_strbuf_init(&line, 4096);
    kp_strbuf_addf(&line, "kubectl pprof %s%s%s\n", c->name, c->args[0] ? " " : "", c->args);
    heading(page, c->name, true);
    code(page, line.data);
    fputs(page->is_troff ? ".PP\n" : "\n", page->out);
    char first = c->summary[0];
    char begin[2] = {(char)(first >= 'a' && first <= 'z' ? first - 'a' + 'A' : first), '\0'};
    text(page, begin);
    text(page, c->summary + 1);
    fputs(".\n", page->out);
    if (c->about && c->about[0]) {
        fputs(page->is_troff ? ".PP\n" : "\n", page->out);
        text(page, c->about);
        fputc('\n', page->out);
    }
    bool any = false;
    for (size_t i = 0; i < kp_cli_n_options; i++) {
        const struct kp_option *row = &kp_cli_options[i];
        if (kp_command_is_common(row->flag) || !kp_command_takes(c, row->flag))
            continue;
        if (!any && !page->is_troff)
            fputc('\n', page->out);
        any = true;
        flag(page, row);
    }
    if (c->examples[0]) {
        fputs(page->is_troff ? "" : "\n", page->out);
        code(page, c->examples);
    }
}

static void write_page(const struct page *page)
{
    for (size_t i = 0; i < kp_cli_n_commands; i++)
        if (!kp_cli_commands[i].hidden)
            command(page, &kp_cli_commands[i]);
    heading(page, page->is_troff ? "FLAGS OF EVERY COMMAND" : "Flags of every command", false);
    for (size_t i = 0; i < kp_cli_n_options; i++)
        if (kp_command_is_common(kp_cli_options[i].flag))
            flag(page, &kp_cli_options[i]);
    heading(page, page->is_troff ? "ENVIRONMENT" : "Environment", false);
    text(page, environment);
    heading(page, page->is_troff ? "EXIT STATUS" : "Exit status", false);
    text(page, exits);
}

int kp_cli_man(struct kp_cli *cli, struct kp_error *err)
{
    bool is_markdown = cli->n_args > 0 && kp_streq(cli->args[0], "markdown");
    if (cli->n_args > 0 && !is_markdown)
        return kp_cli_usage(cli, err, "there is no form '%.40s'", cli->args[0]);
    const struct page page = {.out = cli->out, .is_troff = !is_markdown};
    if (page.is_troff) {
        fputs(".TH KUBECTL\\-PPROF 1 \"\" \"kube\\-pprof " KP_VERSION
              "\"\n.SH NAME\nkubectl\\-pprof \\- profiles of what runs in Kubernetes\n"
              ".SH SYNOPSIS\n.B kubectl pprof\nCOMMAND [ARGUMENTS] [FLAGS]\n.SH DESCRIPTION\n",
            cli->out);
        text(&page, about);
        fputs(".SH COMMANDS\n", cli->out);
    } else {
        fputs("# kubectl pprof\n\n", cli->out);
        text(&page, about);
        fputs("Made from the program's own table of commands: `kubectl-pprof __man markdown "
              ">docs/kubectl-pprof.md`.\n",
            cli->out);
        heading(&page, "Commands", false);
    }
    write_page(&page);
    return 0;
}
