#include "options/options.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/duration.h"
#include "base/limits.h"
#include "base/quantity.h"
#include "base/text.h"
#include "options/options_file.h"
#include "base/banned.h"

const char *kp_option_env(char out[KP_OPTION_ENV_TEXT], const char *flag)
{
    kp_copy(out, KP_OPTION_ENV_TEXT, "KUBE_PPROF_");
    size_t at = strlen(out);
    for (; *flag && at + 1 < KP_OPTION_ENV_TEXT; flag++)
        out[at++] = *flag == '-' ? '_' : (char)toupper((unsigned char)*flag);
    out[at] = '\0';
    return out;
}

// ---- values ----

static void *value_of(void *object, const struct kp_option *row)
{
    return (char *)object + row->offset;
}

static void list_free(struct kp_option_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        kp_free(list->items[i]);
    kp_free(list->items);
    *list = (struct kp_option_list){0};
}

static void list_add_item(struct kp_option_list *list, const char *text, size_t len)
{
    list->items = kp_grow(list->items, list->n + 1, sizeof *list->items);
    list->items[list->n++] = kp_strndup(text, len);
}

static void list_add(struct kp_option_list *list, const char *text)
{
    while (*text) {
        size_t len = strcspn(text, ",");
        const char *start = text;
        text += len + (text[len] == ',');
        while (len > 0 && *start == ' ')
            start++, len--;
        while (len > 0 && start[len - 1] == ' ')
            len--;
        if (len == 0)
            continue;
        list_add_item(list, start, len);
    }
}

static bool choice_holds(const char *choices, const char *text)
{
    size_t len = strlen(text);
    for (const char *p = choices; len > 0; p++) {
        size_t word = strcspn(p, "|");
        if (word == len && strncmp(p, text, len) == 0)
            return true;
        p += word;
        if (*p == '\0')
            return false;
    }
    return false;
}

static int parse_decimal(
    const char *text, double low, double high, bool is_percent, double *ret, struct kp_error *err)
{
    char *end;
    errno = 0;
    double v = strtod(text, &end);
    bool is_number = end != text && errno == 0 && (v >= 0 || v < 0);
    if (is_percent && *end == '%')
        end++;
    if (!is_number || *end != '\0' || v < low || (high != 0 && v > high))
        return kp_fail(err, KP_INVALID, "'%s' is not a %s between %g and %g", text,
            is_percent ? "percentage" : "number", low, high);
    *ret = v;
    return 0;
}

static int parse_duration(const char *text, int64_t *ret, struct kp_error *err)
{
    if (kp_streq(text, "0")) {
        *ret = 0;
        return 0;
    }
    if (kp_duration_parse_days(text, ret, NULL) != 0)
        return kp_fail(err, KP_INVALID, "'%.40s' is not a duration; write it like 90s, 1h30m or 5d", text);
    return 0;
}

static int parse_number(const struct kp_option *row, const char *text, int64_t *ret, struct kp_error *err)
{
    int64_t v = 0;
    int rc = row->type == KP_OPTION_INT        ? kp_parse_int(text, INT64_MIN / 2, INT64_MAX / 2, &v, err)
             : row->type == KP_OPTION_DURATION ? parse_duration(text, &v, err)
                                               : kp_quantity_parse(text, &v, err);
    if (rc != 0)
        return rc;
    if (v < row->min || (row->max != 0 && v > row->max)) {
        char low[KP_DURATION_TEXT];
        char high[KP_DURATION_TEXT];
        bool time = row->type == KP_OPTION_DURATION;
        if (time) {
            kp_duration_format(low, row->min);
            kp_duration_format(high, row->max);
        } else {
            snprintf(low, sizeof low, "%lld", (long long)row->min);
            snprintf(high, sizeof high, "%lld", (long long)row->max);
        }
        return row->max != 0 ? kp_fail(err, KP_INVALID, "'%s' is not between %s and %s", text, low, high)
                             : kp_fail(err, KP_INVALID, "'%s' is less than %s", text, low);
    }
    *ret = v;
    return 0;
}

static void set_string(char **value, const char *text)
{
    kp_free(*value);
    *value = kp_strdup(text);
}

// A list is added to; everything else replaced.
static int set(const struct kp_option *row, const char *text, void *object, struct kp_error *err)
{
    void *value = value_of(object, row);
    switch (row->type) {
    case KP_OPTION_CHOICE:
        if (!choice_holds(row->what, text))
            return kp_fail(err, KP_INVALID, "'%s' is none of %s", text, row->what);
        set_string(value, text);
        return 0;
    case KP_OPTION_STRING:
        set_string(value, text);
        return 0;
    case KP_OPTION_LIST:
        list_add(value, text);
        return 0;
    case KP_OPTION_TEXTS:
        list_add_item(value, text, strlen(text));
        return 0;
    case KP_OPTION_BOOL:
        return kp_parse_bool(text, value, err);
    case KP_OPTION_PERCENT:
        return parse_decimal(text, 0, 100, true, value, err);
    case KP_OPTION_DECIMAL:
        return parse_decimal(text, (double)row->min, (double)row->max, false, value, err);
    case KP_OPTION_INT:
    case KP_OPTION_DURATION:
    case KP_OPTION_BYTES:
        return parse_number(row, text, value, err);
    }
    return 0;
}

static void clear_list(const struct kp_option *row, void *object)
{
    if (row->type == KP_OPTION_LIST || row->type == KP_OPTION_TEXTS)
        list_free(value_of(object, row));
}

void kp_options_finish(const struct kp_option *rows, size_t n, void *object)
{
    for (size_t i = 0; i < n; i++) {
        clear_list(&rows[i], object);
        if (rows[i].type == KP_OPTION_STRING || rows[i].type == KP_OPTION_CHOICE) {
            char **s = value_of(object, &rows[i]);
            kp_free(*s);
            *s = NULL;
        }
    }
}

// ---- sources, weakest first ----

static const struct kp_option *find(const struct kp_option *rows, size_t n, const char *flag, size_t len)
{
    for (size_t i = 0; i < n; i++)
        if (strlen(rows[i].flag) == len && strncmp(rows[i].flag, flag, len) == 0)
            return &rows[i];
    return NULL;
}

static int load_defaults(const struct kp_option *rows, size_t n, void *object, struct kp_error *err)
{
    for (size_t i = 0; i < n; i++) {
        bool text = rows[i].type == KP_OPTION_STRING || rows[i].type == KP_OPTION_LIST;
        if (rows[i].def == NULL && !text)
            continue;
        int rc = set(&rows[i], rows[i].def ? rows[i].def : "", object, err);
        if (rc != 0)
            return kp_wrap(err, "default of --%s", rows[i].flag);
    }
    return 0;
}

struct file_load {
    const struct kp_option *rows;
    size_t n;
    void *object;
};

static int on_file_pair(void *user, const char *key, const char *value, bool first, struct kp_error *err)
{
    struct file_load *load = user;
    const struct kp_option *row = find(load->rows, load->n, key, strlen(key));
    if (row == NULL || kp_streq(key, "config"))
        return kp_fail(err, KP_INVALID, "there is no option '%s'; --help lists them", key);
    if (first)
        clear_list(row, load->object);
    int rc = set(row, value, load->object, err);
    return rc != 0 ? kp_wrap(err, "%s", key) : 0;
}

static int load_env(const struct kp_option *rows, size_t n, const struct kp_options_source *source,
    void *object, struct kp_error *err)
{
    for (size_t i = 0; source->env && i < n; i++) {
        char name[KP_OPTION_ENV_TEXT];
        const char *value = source->env(kp_option_env(name, rows[i].flag));
        if (value == NULL || value[0] == '\0')
            continue;
        clear_list(&rows[i], object);
        int rc = set(&rows[i], value, object, err);
        if (rc != 0)
            return kp_wrap(err, "%s", name);
    }
    return 0;
}

// Where the reading of the command line stands.
struct walk {
    const struct kp_option *rows;
    size_t n;
    const struct kp_options_source *source;
    int i;               // of argv
    const char *letters; // rest of "-abc" that was not read yet; NULL or "": the next of argv
    bool only_args;      // "--" was there
};

// One step: a flag with its value, or an argument that is none (*ret_row NULL).
struct found {
    const struct kp_option *row;
    const char *value;
    char name[64]; // as it was typed
};

static int value_behind(struct walk *w, struct found *found, struct kp_error *err)
{
    if (w->i + 1 >= w->source->argc)
        return kp_fail(err, KP_INVALID, "%s needs a value: --%s=%s", found->name, found->row->flag,
            found->row->what ? found->row->what : "VALUE");
    found->value = w->source->argv[++w->i];
    return 0;
}

// With the flag that was perhaps meant.
static int fail_unknown(const struct walk *w, const char *flag, size_t len, struct kp_error *err)
{
    kp_auto_free char *name = kp_strndup(flag, len);
    const char *near = NULL;
    size_t least = 3;
    for (size_t i = 0; i < w->n; i++) {
        size_t distance = kp_edit_distance(name, w->rows[i].flag);
        if (distance < least && distance < strlen(w->rows[i].flag) / 2)
            least = distance, near = w->rows[i].flag;
    }
    return kp_fail(err, KP_INVALID, "unknown flag '--%s'%s%s%s; --help lists them", name,
        near ? "; did you mean --" : "", near ? near : "", near ? "?" : "");
}

static int read_long(struct walk *w, const char *arg, struct found *found, struct kp_error *err)
{
    size_t len = strcspn(arg + 2, "=");
    found->row = find(w->rows, w->n, arg + 2, len);
    if (found->row == NULL)
        return fail_unknown(w, arg + 2, len, err);
    snprintf(found->name, sizeof found->name, "--%s", found->row->flag);
    if (arg[2 + len] == '=')
        found->value = arg + 2 + len + 1;
    else if (found->row->type == KP_OPTION_BOOL)
        found->value = "true";
    else
        return value_behind(w, found, err);
    return 0;
}

static int read_letter(struct walk *w, struct found *found, struct kp_error *err)
{
    char letter = *w->letters++;
    found->row = NULL;
    const struct kp_option_letter *known = w->source->letters;
    for (; known && known->letter; known++)
        if (known->letter == letter)
            found->row = find(w->rows, w->n, known->flag, strlen(known->flag));
    if (found->row == NULL) {
        const char *arg = w->source->argv[w->i];
        bool alone = arg[2] == '\0';
        return kp_fail(err, KP_INVALID, "unknown flag '-%c'%s%s%s; --help lists them", letter,
            alone ? "" : " in '", alone ? "" : arg, alone ? "" : "'");
    }
    snprintf(found->name, sizeof found->name, "-%c", letter);
    if (*w->letters == '=' || (*w->letters && found->row->type != KP_OPTION_BOOL)) {
        found->value = w->letters + (*w->letters == '=');
        w->letters = NULL;
        return 0;
    }
    if (found->row->type != KP_OPTION_BOOL)
        return value_behind(w, found, err);
    found->value = "true";
    return 0;
}

// Returns 1 at the end.
static int step(struct walk *w, struct found *found, struct kp_error *err)
{
    *found = (struct found){0};
    if (w->letters != NULL && *w->letters)
        return read_letter(w, found, err);
    w->letters = NULL;
    if (++w->i >= w->source->argc)
        return 1;
    const char *arg = w->source->argv[w->i];
    if (!w->only_args && kp_streq(arg, "--")) {
        w->only_args = true;
        return step(w, found, err);
    }
    if (!w->only_args && kp_starts_with(arg, "--"))
        return read_long(w, arg, found, err);
    if (!w->only_args && arg[0] == '-' && arg[1] != '\0') {
        w->letters = arg + 1;
        return read_letter(w, found, err);
    }
    if (w->source->args == NULL)
        return kp_fail(err, KP_INVALID, "unexpected argument '%s'; flags start with --", arg);
    found->value = arg;
    return 0;
}

static int load_flags(const struct kp_option *rows, size_t n, const struct kp_options_source *source,
    void *object, struct kp_error *err)
{
    kp_auto_free bool *seen = KP_NEW_ARRAY(bool, n + 1);
    struct walk w = {.rows = rows, .n = n, .source = source};
    struct found found;
    int rc;
    if (source->args != NULL)
        *source->n_args = 0;
    while ((rc = step(&w, &found, err)) == 0) {
        if (found.row == NULL) {
            source->args[(*source->n_args)++] = source->argv[w.i];
            continue;
        }
        if (!seen[found.row - rows])
            clear_list(found.row, object); // flags replace what the file said
        seen[found.row - rows] = true;
        rc = set(found.row, found.value, object, err);
        if (rc != 0)
            return kp_wrap(err, "%s", found.name);
    }
    return rc == 1 ? 0 : rc;
}

// The file's name comes from flag or environment, so it is looked up before the file is read.
static const char *config_path(const struct kp_option *rows, size_t n, const struct kp_options_source *source)
{
    const struct kp_option *config = find(rows, n, "config", 6);
    if (config == NULL)
        return NULL;
    const char *path = NULL;
    struct walk w = {.rows = rows, .n = n, .source = source};
    struct found found;
    while (step(&w, &found, NULL) == 0)
        if (found.row == config)
            path = found.value;
    if (path == NULL && source->env)
        path = source->env("KUBE_PPROF_CONFIG");
    return path && path[0] ? path : config->def;
}

static bool asks_help(const struct kp_options_source *source)
{
    for (int i = 1; i < source->argc && !kp_streq(source->argv[i], "--"); i++)
        if (kp_streq(source->argv[i], "--help") || kp_streq(source->argv[i], "-h"))
            return true;
    return false;
}

int kp_options_load(const struct kp_option *rows, size_t n, const struct kp_options_source *source,
    void *object, struct kp_error *err)
{
    if (asks_help(source))
        return KP_OPTIONS_HELP;
    int rc = load_defaults(rows, n, object, err);
    const char *path = config_path(rows, n, source);
    if (rc == 0 && path)
        rc = kp_options_file_read(path, on_file_pair, &(struct file_load){rows, n, object}, err);
    if (rc == 0)
        rc = load_env(rows, n, source, object, err);
    if (rc == 0)
        rc = load_flags(rows, n, source, object, err);
    if (rc != 0)
        kp_options_finish(rows, n, object);
    return rc;
}

// ---- help ----

#define HELP_WIDTH  100
#define HELP_INDENT 8

static void wrap(const char *text, FILE *out)
{
    int column = 0;
    while (*text) {
        size_t len = strcspn(text, " \n");
        if (column > 0 && column + 1 + (int)len > HELP_WIDTH - HELP_INDENT) {
            fputc('\n', out);
            column = 0;
        }
        column += fprintf(out, "%*s%.*s", column == 0 ? HELP_INDENT : 1, "", (int)len, text);
        if (text[len] == '\n') {
            fputc('\n', out);
            column = 0;
        }
        text += len + (text[len] != '\0');
    }
    fputc('\n', out);
}

void kp_options_help(
    const struct kp_option *rows, size_t n, const char *command, const char *summary, FILE *out)
{
    fprintf(out,
        "usage: kube-pprof %s [FLAGS]\n\n%s\n\nflags (a flag wins over its environment variable, that over "
        "the file of"
        " --config):\n",
        command, summary);
    for (size_t i = 0; i < n; i++) {
        char env[KP_OPTION_ENV_TEXT];
        fprintf(out, "\n  --%s", rows[i].flag);
        if (rows[i].type != KP_OPTION_BOOL)
            fprintf(out, "=%s", rows[i].what ? rows[i].what : "VALUE");
        fprintf(out, "    [%s", kp_option_env(env, rows[i].flag));
        if (rows[i].def && rows[i].def[0])
            fprintf(out, ", default %s", rows[i].def);
        fputs("]\n", out);
        wrap(rows[i].help, out);
    }
}
