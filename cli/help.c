#include "cli/help.h"

#include <string.h>

#include "base/text.h"
#include "base/banned.h"

#define WIDTH 100

// Words of text, broken at WIDTH, each line behind `indent` blanks; '\n' breaks as well.
static void wrap(const char *text, int indent, FILE *out)
{
    int column = 0;
    while (*text) {
        size_t len = strcspn(text, " \n");
        if (column > 0 && column + 1 + (int)len > WIDTH) {
            fputc('\n', out);
            column = 0;
        }
        if (len > 0)
            column += fprintf(out, "%*s%.*s", column == 0 ? indent : 1, "", (int)len, text);
        if (text[len] == '\n') {
            fputc('\n', out);
            column = 0;
        }
        text += len + (text[len] != '\0');
    }
    if (column > 0)
        fputc('\n', out);
}

bool kp_help_is_group(const char *word)
{
    size_t len = strlen(word);
    for (size_t i = 0; i < kp_cli_n_commands; i++)
        if (len > 0 && strncmp(kp_cli_commands[i].name, word, len) == 0 &&
            kp_cli_commands[i].name[len] == ' ')
            return true;
    return false;
}

static void list(const char *prefix, FILE *out)
{
    for (size_t i = 0; i < kp_cli_n_commands; i++)
        if (!kp_cli_commands[i].hidden && kp_starts_with(kp_cli_commands[i].name, prefix))
            fprintf(out, "  %-22s %s\n", kp_cli_commands[i].name, kp_cli_commands[i].summary);
}

void kp_help_program(FILE *out)
{
    fputs("Profiles of what runs in Kubernetes: take them, find them, look at them.\n\nUsage:\n"
          "  kubectl pprof COMMAND [ARGUMENTS] [FLAGS]\n\nCommands:\n",
        out);
    list("", out);
    fputs("\nkubectl pprof COMMAND --help tells more of a command, kubectl pprof options lists the flags "
          "every command takes.\n",
        out);
}

void kp_help_group(const char *group, FILE *out)
{
    fprintf(out, "Usage:\n  kubectl pprof %s COMMAND [ARGUMENTS] [FLAGS]\n\nCommands:\n", group);
    list(group, out);
}

static void flag_row(const struct kp_option *row, FILE *out)
{
    char letter = kp_cli_letter(row->flag);
    fputs("  ", out);
    if (letter && strlen(row->flag) > 1)
        fprintf(out, "-%c, ", letter);
    fprintf(out, "--%s", row->flag);
    if (row->type != KP_OPTION_BOOL)
        fprintf(out, "=%s", row->what ? row->what : "VALUE");
    if (row->def && row->def[0] && !kp_streq(row->def, "0"))
        fprintf(out, "  (default %s)", row->def);
    fputc('\n', out);
    wrap(row->help, 6, out);
}

void kp_help_command(const struct kp_command *command, FILE *out)
{
    fprintf(out, "%c%s.\n\n",
        command->summary[0] >= 'a' && command->summary[0] <= 'z' ? command->summary[0] - 'a' + 'A'
                                                                 : command->summary[0],
        command->summary + (command->summary[0] != '\0'));
    if (command->about && command->about[0]) {
        wrap(command->about, 0, out);
        fputc('\n', out);
    }
    fprintf(out, "Usage:\n  kubectl pprof %s%s%s [FLAGS]\n", command->name, command->args[0] ? " " : "",
        command->args);
    if (command->examples[0]) {
        fputs("\nExamples:\n", out);
        wrap(command->examples, 2, out);
    }
    if (command->flags[0])
        fputs("\nFlags:\n", out);
    for (size_t i = 0; i < kp_cli_n_options; i++)
        if (!kp_command_is_common(kp_cli_options[i].flag) &&
            kp_command_takes(command, kp_cli_options[i].flag))
            flag_row(&kp_cli_options[i], out);
    fputs(
        "\nkubectl pprof options lists the flags every command takes (--context, --namespace, ...).\n", out);
}

void kp_help_flags(FILE *out)
{
    fputs("Flags of every command:\n\n", out);
    for (size_t i = 0; i < kp_cli_n_options; i++)
        if (kp_command_is_common(kp_cli_options[i].flag))
            flag_row(&kp_cli_options[i], out);
}
