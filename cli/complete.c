// Completion: `kubectl-pprof __complete WORD...` answers as cobra's programs do, which is what kubectl
// expects of a plugin's kubectl_complete-NAME: one candidate a line, with a tab and a description perhaps,
// then
// ":BITS". It never complains: somebody is typing.
#include <string.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/text.h"
#include "cli/ask.h"
#include "cli/command.h"
#include "base/banned.h"

enum { FILES = 0, NO_SPACE = 2, NO_FILES = 4 };

#define MAX_CANDIDATES 1000
#define TIMEOUT_MS     3000

struct typing {
    struct kp_cli *cli;
    const struct kp_command *command; // NULL: not known yet
    const char *last;                 // the word being typed, perhaps ""
    char *const *words;               // before it
    size_t n_words;
    bool is_lost; // what was typed makes no sense
};

static void candidate(const struct typing *t, const char *before, const char *word, const char *about)
{
    char shown[256];
    kp_auto_free char *whole = kp_asprintf("%s%s", before, word);
    if (!kp_starts_with(whole, t->last))
        return;
    fputs(kp_printable(shown, sizeof shown, whole, strlen(whole)), t->cli->out);
    if (about && about[0])
        fprintf(t->cli->out, "\t%s", about);
    fputc('\n', t->cli->out);
}

// "profiles services": each word.
static void words_of(const struct typing *t, const char *before, const char *words, char between)
{
    const char blanks[] = {between, '\0'};
    for (const char *p = words; *p; p += strspn(p, blanks)) {
        size_t len = strcspn(p, blanks);
        kp_auto_free char *word = kp_strndup(p, len);
        candidate(t, before, word, NULL);
        p += len;
    }
}

// ---- names from the cluster ----

static void names_at(const struct typing *t, const char *path)
{
    json_t *list = NULL;
    if (kp_session_json(t->cli, "GET", path, NULL, &list, NULL) != 0)
        return;
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(list, "items"), i, item)
    {
        const char *name = json_string_value(json_object_get(json_object_get(item, "metadata"), "name"));
        if (name && i < MAX_CANDIDATES)
            candidate(t, "", name, NULL);
    }
    json_decref(list);
}

static void pods(const struct typing *t)
{
    if (kp_session_connect(t->cli, NULL) != 0)
        return;
    kp_auto_free char *path =
        kp_asprintf("/api/v1/namespaces/%s/pods?limit=%d", kp_session_namespace(t->cli), MAX_CANDIDATES);
    names_at(t, path);
}

static json_t *services_of(const struct typing *t)
{
    json_t *answer = NULL;
    return kp_ask_json(t->cli, "services", NULL, &answer, NULL) == 0 ? answer : NULL;
}

static void services(const struct typing *t)
{
    json_t *answer = services_of(t);
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(answer, "items"), i, item)
    {
        const char *name = json_string_value(json_object_get(item, "service"));
        if (name)
            candidate(t, "", name, NULL);
    }
    json_decref(answer);
}

// Types may stand with commas between them: the last is completed.
static void types(const struct typing *t)
{
    const char *comma = strrchr(t->last, ',');
    kp_auto_free char *before = kp_strndup(t->last, comma ? (size_t)(comma + 1 - t->last) : 0);
    words_of(t, before, "cpu heap allocs goroutine block mutex threadcreate trace fgprof", ' ');
}

// ---- flags ----

// The flag whose value is being typed as a word of its own; NULL: none.
static const struct kp_option *open_flag(const struct typing *t)
{
    const char *before = t->n_words ? t->words[t->n_words - 1] : "";
    const struct kp_option *row = NULL;
    if (kp_starts_with(before, "--") && strchr(before, '=') == NULL)
        row = kp_cli_option(before + 2);
    else if (before[0] == '-' && before[1] && before[2] == '\0')
        for (const struct kp_option_letter *l = kp_cli_letters; l->letter; l++)
            if (l->letter == before[1])
                row = kp_cli_option(l->flag);
    return row && row->type != KP_OPTION_BOOL ? row : NULL;
}

static int flag_value(const struct typing *t, const struct kp_option *row)
{
    if (row->type == KP_OPTION_CHOICE)
        words_of(t, "", row->what, '|');
    else if (kp_streq(row->flag, "namespace"))
        names_at(t, "/api/v1/namespaces");
    else if (kp_streq(row->flag, "service"))
        services(t);
    else if (kp_streq(row->flag, "type"))
        types(t);
    else if (kp_streq(row->flag, "output"))
        words_of(t, "", "wide json yaml name jsonpath=", ' ');
    else if (kp_streq(row->flag, "by"))
        words_of(t, "", "function line file package label=", ' ');
    else if (kp_streq(row->flag, "format"))
        words_of(t, "", "html svg folded json text", ' ');
    else if (row->what && (kp_streq(row->what, "FILE") || kp_streq(row->what, "FOLDER")))
        return FILES;
    return NO_FILES;
}

static int flags(const struct typing *t)
{
    for (size_t i = 0; i < kp_cli_n_options; i++) {
        const char *flag = kp_cli_options[i].flag;
        if (t->command ? kp_command_takes(t->command, flag) : kp_command_is_common(flag))
            candidate(t, "--", flag, kp_cli_options[i].help);
    }
    return NO_FILES;
}

// ---- arguments ----

// Commands, and the first words of groups, once each (their rows stand together).
static int commands(const struct typing *t, size_t n_args)
{
    kp_auto_free char *group = n_args ? kp_asprintf("%s ", t->words[t->n_words - 1]) : kp_strdup("");
    kp_auto_free char *before = NULL;
    for (size_t i = 0; i < kp_cli_n_commands; i++) {
        const struct kp_command *c = &kp_cli_commands[i];
        if (c->hidden || !kp_starts_with(c->name, group))
            continue;
        const char *rest = c->name + strlen(group);
        size_t len = strcspn(rest, " ");
        kp_auto_free char *word = kp_strndup(rest, len);
        if (!kp_streq(word, before))
            candidate(t, "", word, rest[len] ? "" : c->summary);
        kp_free(before);
        before = kp_take(word);
    }
    return NO_FILES;
}

static int arguments(const struct typing *t)
{
    switch (t->command->complete) {
    case KP_COMPLETE_NOTHING:
        return NO_FILES;
    case KP_COMPLETE_FILES:
        return FILES;
    case KP_COMPLETE_PODS:
        pods(t);
        return NO_FILES;
    case KP_COMPLETE_SERVICES: // files are arguments there as well
        services(t);
        return FILES;
    case KP_COMPLETE_WORDS:
        words_of(t, "", t->command->words, ' ');
        return NO_FILES;
    }
    return NO_FILES;
}

// Reads what was typed so far as far as it can be read: connection flags count for names from the cluster.
static size_t read_line(struct typing *t, char **args)
{
    size_t n_args = 0;
    size_t taken = 0;
    kp_auto_free char **argv = KP_NEW_ARRAY(char *, t->n_words + 2);
    argv[0] = t->cli->args[0];
    size_t n = t->n_words - (open_flag(t) != NULL);
    for (size_t i = 0; i < n; i++)
        argv[i + 1] = t->words[i];
    const struct kp_options_source source = {
        .argc = (int)n + 1, .argv = argv, .letters = kp_cli_letters, .args = args, .n_args = &n_args};
    if (kp_options_load(kp_cli_options, kp_cli_n_options, &source, &t->cli->flags, NULL) != 0) {
        t->cli->flags = (struct kp_cli_flags){0};
        t->is_lost = true;
        return 0;
    }
    t->cli->flags.request_timeout_ms = TIMEOUT_MS;
    t->command = kp_command_find(args, n_args, &taken);
    return n_args;
}

int kp_cli_complete(struct kp_cli *cli, struct kp_error *err)
{
    struct typing t = {.cli = cli, .last = ""};
    (void)err;
    if (cli->n_args > 0) {
        t.last = cli->args[cli->n_args - 1];
        t.words = cli->args;
        t.n_words = cli->n_args - 1;
    }
    kp_auto_free char **args = KP_NEW_ARRAY(char *, cli->n_args + 1);
    size_t n_args = read_line(&t, args);
    const struct kp_option *row = open_flag(&t);
    const char *equals = kp_starts_with(t.last, "--") ? strchr(t.last, '=') : NULL;
    int bits;
    if (t.is_lost) {
        fprintf(cli->out, ":%d\n", NO_FILES);
        return 0;
    }
    if (equals != NULL && row == NULL) { // shells put the flag before what is found themselves
        kp_auto_free char *flag = kp_strndup(t.last + 2, (size_t)(equals - t.last) - 2);
        row = kp_cli_option(flag);
        t.last = equals + 1;
    }
    if (row != NULL)
        bits = flag_value(&t, row);
    else if (t.last[0] == '-')
        bits = flags(&t);
    else if (t.command != NULL)
        bits = arguments(&t);
    else
        bits = commands(&t, n_args);
    fprintf(cli->out, ":%d\n", bits);
    kp_options_finish(kp_cli_options, kp_cli_n_options, &cli->flags);
    return 0;
}
