#include "cli/policyfile.h"

#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/text.h"
#include "kube/yaml.h"
#include "base/banned.h"

#define MAX_FILE      (4 * (size_t)KP_MIB)
#define MAX_DOCUMENTS 1000

void kp_policyfile_finish(struct kp_policyfile *files)
{
    for (size_t i = 0; i < files->items.n; i++) {
        json_decref(files->items.items[i].object);
        kp_free(files->items.items[i].problem);
    }
    kp_array_free(&files->items);
}

static void add_problem(struct kp_policyfile *files, const char *file, const char *text)
{
    *kp_array_add(&files->items) = (struct kp_policyfile_object){.file = file, .problem = kp_strdup(text)};
}

// ---- documents ----

// "List", "ProfilingPolicyList": what kubectl get -o yaml writes.
static bool is_list(const json_t *object)
{
    const char *kind = json_string_value(json_object_get(object, "kind"));
    return kind != NULL && kp_ends_with(kind, "List") && json_is_array(json_object_get(object, "items"));
}

static void add_object(struct kp_policyfile *files, const char *file, json_t *object)
{
    size_t i;
    json_t *item;
    if (!is_list(object)) {
        *kp_array_add(&files->items) =
            (struct kp_policyfile_object){.file = file, .object = json_incref(object)};
        return;
    }
    json_array_foreach(json_object_get(object, "items"), i, item) * kp_array_add(&files->items) =
        (struct kp_policyfile_object){.file = file, .object = json_incref(item)};
}

// The document's lines keep their numbers in what the parser complains of: as many empty ones stand before.
static void add_document(
    struct kp_policyfile *files, const char *file, size_t line, const char *text, size_t len)
{
    kp_auto_free char *padded = kp_alloc(line + len + 1);
    json_t *object = NULL;
    struct kp_error why = {0};
    memset(padded, '\n', line);
    memcpy(padded + line, text, len);
    padded[line + len] = '\0';
    if (kp_yaml_parse(padded, line + len, &object, &why) != 0)
        add_problem(files, file, why.text);
    else if (json_is_object(object))
        add_object(files, file, object);
    else if (!json_is_null(object))
        add_problem(files, file, "a document is no object; it begins with apiVersion and kind");
    json_decref(object);
}

// "---" alone or with something behind it ends a document and begins the next one.
static bool is_separator(const char *line, size_t len)
{
    return len >= 3 && memcmp(line, "---", 3) == 0 && (len == 3 || strchr(" \t\r", line[3]) != NULL);
}

// Whether a line may stand before the first "---": directives, comments, nothing.
static bool is_prelude(const char *line, size_t len)
{
    size_t blanks = 0;
    while (blanks < len && strchr(" \t\r", line[blanks]) != NULL)
        blanks++;
    return blanks == len || line[blanks] == '#' || line[0] == '%';
}

void kp_policyfile_split(struct kp_policyfile *files, const char *file, const char *text, size_t len)
{
    size_t begin = 0;      // of the document
    size_t begin_line = 0; // its line
    size_t line = 0;
    size_t n = 0;
    bool is_empty = true; // only what may stand before "---"
    for (size_t at = 0; at < len;) {
        const char *end = memchr(text + at, '\n', len - at);
        size_t size = end ? (size_t)(end - text) - at : len - at;
        bool separates = is_separator(text + at, size);
        if (separates && !is_empty) {
            if (++n >= MAX_DOCUMENTS) {
                add_problem(files, file, "there are more than 1000 documents; split the file");
                return;
            }
            add_document(files, file, begin_line, text + begin, at - begin);
            begin = at;
            begin_line = line;
            is_empty = true;
        }
        is_empty = is_empty && (separates ? size <= 4 : is_prelude(text + at, size));
        at += size + 1;
        line++;
    }
    if (!is_empty)
        add_document(files, file, begin_line, text + begin, len - begin);
}

// ---- files ----

static void read_file(struct kp_policyfile *files, const char *path)
{
    bool is_stdin = kp_streq(path, "-");
    const char *name = is_stdin ? "standard input" : path;
    kp_auto_free char *text = NULL;
    size_t len = 0;
    struct kp_error why = {0};
    size_t before = files->items.n;
    if (kp_file_read(is_stdin ? "/dev/stdin" : path, MAX_FILE, &text, &len, &why) != 0) {
        add_problem(files, name, why.text);
        return;
    }
    if (memchr(text, '\0', len) != NULL) {
        add_problem(files, name, "this is no text");
        return;
    }
    kp_policyfile_split(files, name, text, len);
    if (files->items.n == before)
        add_problem(files, name, "there is nothing in it");
}

int kp_policyfile_read(struct kp_cli *cli, struct kp_policyfile *ret, struct kp_error *err)
{
    *ret = (struct kp_policyfile){0};
    if (cli->n_args == 0 && !kp_cli_given(cli->flags.filename))
        return kp_cli_usage(cli, err, "say which file: FILE, or - for standard input");
    for (size_t i = 0; i < cli->n_args; i++)
        read_file(ret, cli->args[i]);
    if (kp_cli_given(cli->flags.filename))
        read_file(ret, cli->flags.filename);
    return 0;
}

// ---- objects ----

const char *kp_policyfile_kind(const json_t *object)
{
    const char *version = json_string_value(json_object_get(object, "apiVersion"));
    const char *kind = json_string_value(json_object_get(object, "kind"));
    if (version == NULL || kind == NULL || !kp_starts_with(version, KP_GROUP "/"))
        return NULL;
    if (kp_streq(kind, "ProfilingPolicy"))
        return "ProfilingPolicy";
    return kp_streq(kind, "ClusterProfilingPolicy") ? "ClusterProfilingPolicy" : NULL;
}

char *kp_policyfile_name(const json_t *object)
{
    const char *kind = kp_policyfile_kind(object);
    const char *name = json_string_value(json_object_get(json_object_get(object, "metadata"), "name"));
    if (kind == NULL)
        kind = json_string_value(json_object_get(object, "kind"));
    char *ret = kp_asprintf("%s/%s", kind ? kind : "?", name ? name : "?");
    for (char *p = ret; *p != '\0' && *p != '/'; p++)
        *p = *p >= 'A' && *p <= 'Z' ? (char)(*p - 'A' + 'a') : *p;
    return ret;
}

int kp_policyfile_parse(
    const json_t *object, const char *namespace, struct kp_policy **ret, struct kp_error *err)
{
    bool is_cluster = kp_streq(kp_policyfile_kind(object), "ClusterProfilingPolicy");
    json_t *copy = json_copy((json_t *)(uintptr_t)object); // shallow: only metadata is another
    const json_t *metadata = json_object_get(object, "metadata");
    json_t *changed = json_is_object(metadata) ? json_copy((json_t *)(uintptr_t)metadata) : json_object();
    if (is_cluster)
        json_object_del(changed, "namespace");
    else if (!json_is_string(json_object_get(changed, "namespace")))
        json_object_set_new(changed, "namespace", json_string(namespace));
    json_object_set_new(copy, "metadata", changed);
    int rc = kp_policy_parse(copy, NULL, ret, err);
    json_decref(copy);
    return rc;
}
