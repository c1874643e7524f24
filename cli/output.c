#include "cli/output.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/text.h"
#include "base/banned.h"

#define MAX_OUTPUT ((size_t)256 * KP_MIB)

int kp_output_parse(struct kp_cli *cli, struct kp_output *ret, struct kp_error *err)
{
    static const struct {
        const char *name;
        enum kp_output_kind kind;
    } kinds[] = {{"", KP_OUTPUT_TABLE}, {"wide", KP_OUTPUT_WIDE}, {"json", KP_OUTPUT_JSON},
        {"yaml", KP_OUTPUT_YAML}, {"name", KP_OUTPUT_NAME}};
    const char *text = cli->flags.output ? cli->flags.output : "";
    *ret = (struct kp_output){0};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (kp_streq(text, kinds[i].name)) {
            ret->kind = kinds[i].kind;
            return 0;
        }
    }
    if (!kp_starts_with(text, "jsonpath="))
        return kp_cli_usage(
            cli, err, "--output: '%.60s' is none of wide, json, yaml, name, jsonpath=TEMPLATE", text);
    ret->kind = KP_OUTPUT_JSONPATH;
    if (kp_jsonpath_parse(text + strlen("jsonpath="), &ret->jsonpath, err) == 0)
        return 0;
    cli->is_usage_wrong = true;
    return kp_wrap(err, "--output");
}

int kp_output_parse_facts(struct kp_cli *cli, struct kp_output *ret, struct kp_error *err)
{
    int rc = kp_output_parse(cli, ret, err);
    if (rc == 0 && (ret->kind == KP_OUTPUT_WIDE || ret->kind == KP_OUTPUT_NAME))
        return kp_cli_usage(cli, err,
            "--output: '%s' is of lists; here there are json, yaml and jsonpath=TEMPLATE", cli->flags.output);
    return rc;
}

void kp_output_finish(struct kp_output *output)
{
    kp_jsonpath_destroy(output->jsonpath);
    output->jsonpath = NULL;
}

static int on_json(const char *text, size_t len, void *user)
{
    struct kp_strbuf *out = user;
    kp_strbuf_add(out, text, len);
    return out->overflow ? -1 : 0;
}

int kp_output_print(
    struct kp_cli *cli, const struct kp_output *output, const json_t *value, struct kp_error *err)
{
    int rc = 0;
    kp_auto_strbuf text;
    kp_strbuf_init(&text, MAX_OUTPUT);
    if (output->kind == KP_OUTPUT_JSON) {
        (void)!json_dump_callback(
            value, on_json, &text, JSON_INDENT(4) | JSON_PRESERVE_ORDER | JSON_ENCODE_ANY);
        kp_strbuf_addc(&text, '\n');
    } else if (output->kind == KP_OUTPUT_YAML) {
        kp_yaml_write(value, &text);
    } else {
        rc = kp_jsonpath_write(output->jsonpath, value, &text, err);
    }
    if (rc == 0 && text.overflow)
        return kp_fail(err, KP_LIMIT,
            "the answer takes more than %zu MiB to print: ask for less with --limit", MAX_OUTPUT / KP_MIB);
    kp_cli_write(cli, cli->out, text.data, text.len);
    return rc;
}

// ---- YAML ----

// Whether YAML reads the text as itself when it stands there without quotes: cautious, what is in doubt is
// quoted.
static bool is_plain(const char *s)
{
    static const char *const words[] = {"null", "true", "false", "yes", "no", "on", "off", "y", "n", "~"};
    size_t len = strlen(s);
    if (len == 0 || strchr("-?:,[]{}#&*!|>'\"%@`= .+0123456789<", s[0]) != NULL || s[len - 1] == ' ' ||
        s[len - 1] == ':')
        return false;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcasecmp(words[i], s) == 0)
            return false;
    for (const char *p = s; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f || (p[0] == ':' && p[1] == ' ') ||
            (p[0] == ' ' && p[1] == '#'))
            return false;
    return true;
}

// A string of JSON is one of YAML.
static void write_text(const char *s, struct kp_strbuf *out)
{
    if (is_plain(s))
        kp_strbuf_adds(out, s);
    else
        kp_strbuf_add_json(out, s);
}

static void write_scalar(const json_t *value, struct kp_strbuf *out)
{
    if (json_is_string(value)) {
        write_text(json_string_value(value), out);
        return;
    }
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    kp_strbuf_adds(out, text ? text : "null");
    free(text); // jansson's
}

static void write_value(const json_t *value, int indent, bool in_list, struct kp_strbuf *out);

static void write_list(const json_t *list, int indent, struct kp_strbuf *out)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        kp_strbuf_addf(out, "%*s-", indent, "");
        write_value(item, indent + 2, true, out);
    }
}

static void write_map(const json_t *map, int indent, bool in_list, struct kp_strbuf *out)
{
    const char *key;
    json_t *item;
    bool first = true;
    json_object_foreach((json_t *)(uintptr_t)map, key, item)
    {
        if (first && in_list)
            kp_strbuf_addc(out, ' '); // beside the dash
        else
            kp_strbuf_addf(out, "%*s", indent, "");
        first = false;
        write_text(key, out);
        kp_strbuf_addc(out, ':');
        write_value(item, json_is_array(item) ? indent : indent + 2, false, out);
    }
}

// What follows "key:" or "-": on the line what is short, below it what is not.
static void write_value(const json_t *value, int indent, bool in_list, struct kp_strbuf *out)
{
    bool is_map = json_is_object(value) && json_object_size(value) > 0;
    bool is_list = json_is_array(value) && json_array_size(value) > 0;
    if (!is_map && !is_list) {
        kp_strbuf_addc(out, ' ');
        write_scalar(value, out);
        kp_strbuf_addc(out, '\n');
        return;
    }
    if (!in_list || is_list)
        kp_strbuf_addc(out, '\n');
    if (is_map)
        write_map(value, indent, in_list, out);
    else
        write_list(value, indent, out);
}

void kp_yaml_write(const json_t *value, struct kp_strbuf *out)
{
    if (json_is_object(value) && json_object_size(value) > 0)
        write_map(value, 0, false, out);
    else if (json_is_array(value) && json_array_size(value) > 0)
        write_list(value, 0, out);
    else {
        write_scalar(value, out);
        kp_strbuf_addc(out, '\n');
    }
}
