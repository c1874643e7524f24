// `kube-pprof registry export`: profiles as files, their descriptions as lines of JSON beside them.
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/selector.h"
#include "base/text.h"
#include "controller/registry_tools.h"
#include "base/banned.h"

#define PAGE      1000
#define MAX_LINE  (1 << 20)
#define MAX_NAMES 100000

struct options {
    char *data_dir, *out, *namespace, *service, *type, *selector, *since, *until;
};

#define AT(field) offsetof(struct options, field)

static const struct kp_option rows[] = {
    {"data-dir", "FOLDER", KP_OPTION_STRING, AT(data_dir), "kube-pprof-data", 0, 0,
        "The data folder. No registry may have it open."},
    {"out", "FOLDER", KP_OPTION_STRING, AT(out), NULL, 0, 0, "Where the files go; made if it is not there."},
    {"namespace", "NAME", KP_OPTION_STRING, AT(namespace), NULL, 0, 0, "Only of this namespace."},
    {"service", "NAME", KP_OPTION_STRING, AT(service), NULL, 0, 0, "Only of this service."},
    {"type", "TYPE", KP_OPTION_STRING, AT(type), NULL, 0, 0, "Only of this type."},
    {"selector", "SELECTOR", KP_OPTION_STRING, AT(selector), NULL, 0, 0,
        "Only with these labels, as the API takes them: team=pay,k8s.node!=a"},
    {"since", "TIME", KP_OPTION_STRING, AT(since), NULL, 0, 0, "Only taken at or after: RFC 3339, or -24h."},
    {"until", "TIME", KP_OPTION_STRING, AT(until), NULL, 0, 0, "Only taken before."},
};

struct export
{
    struct kp_store *store;
    const char *folder;
    FILE *records;
    uint64_t n;
    struct kp_error error;
};

// NAMESPACE_SERVICE_TYPE_TIME, of characters any file system takes; a number where a name is taken.
static char *name_file(const struct export *e, const struct kp_record *r)
{
    char time[KP_TIME_TEXT];
    kp_time_format_micro(time, r->start_ms ? r->start_ms : r->received_ms);
    const char *suffix = kp_streq(r->format, "pprof")   ? "pb.gz"
                         : kp_streq(r->format, "trace") ? "trace"
                                                        : "txt";
    kp_auto_free char *base =
        kp_asprintf("%.63s_%.100s_%.40s_%.23s", r->namespace ? r->namespace : "", r->service, r->type, time);
    for (char *p = base; *p; p++) {
        bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9');
        if (!plain && strchr("._-", *p) == NULL)
            *p = '-';
    }
    for (int i = 1; i < MAX_NAMES; i++) {
        kp_auto_free char *name =
            i == 1 ? kp_asprintf("%s.%s", base, suffix) : kp_asprintf("%s_%d.%s", base, i, suffix);
        kp_auto_free char *path = kp_asprintf("%s/%s", e->folder, name);
        FILE *there = fopen(path, "rbe");
        if (there == NULL)
            return kp_take(name);
        fclose(there);
    }
    return NULL;
}

static int write_one(struct export *e, const struct kp_record *r)
{
    struct kp_blob *body = NULL;
    kp_auto_free char *name = name_file(e, r);
    kp_auto_free char *path = kp_asprintf("%s/%s", e->folder, name ? name : "");
    if (name == NULL)
        return kp_fail(&e->error, KP_LIMIT, "too many profiles of the same time");
    if (kp_store_get(e->store, r->id, NULL, &body, &e->error) != 0)
        return e->error.code;
    FILE *out = fopen(path, "wbxe");
    if (out == NULL || fwrite(body->data, 1, body->len, out) != body->len || fflush(out) != 0)
        kp_fail_errno(&e->error, errno, "cannot write '%s'", path);
    if (out && fclose(out) != 0)
        kp_fail_errno(&e->error, errno, "cannot write '%s'", path);
    kp_blob_unref(body);
    struct kp_strbuf line;
    kp_strbuf_init(&line, MAX_LINE);
    kp_tool_write_record(&line, r, name);
    if (e->error.code == 0 && fwrite(line.data, 1, line.len, e->records) != line.len)
        kp_fail_errno(&e->error, errno, "cannot write '%s/records.jsonl'", e->folder);
    kp_strbuf_finish(&line);
    e->n++;
    return e->error.code;
}

static bool on_record(void *user, const struct kp_record *record)
{
    struct export *e = user;
    if (write_one(e, record) == KP_CORRUPT || e->error.code == KP_NOT_FOUND) { // the others are still good
        fprintf(stderr, "left out: %s\n", e->error.text);
        kp_error_clear(&e->error);
    }
    return e->error.code == 0;
}

static int export_all(struct export *e, struct kp_store_query *query, struct kp_error *err)
{
    kp_auto_free char *cursor = NULL;
    query->limit = PAGE;
    do {
        kp_auto_free char *next = NULL;
        query->cursor = cursor;
        if (kp_store_list(e->store, query, on_record, e, &next, err) != 0)
            return err->code;
        kp_free(cursor);
        cursor = kp_take(next);
    } while (cursor && e->error.code == 0);
    return e->error.code != 0 ? kp_fail(err, e->error.code, "%s", e->error.text) : 0;
}

static const char *or_null(const char *text)
{
    return text[0] ? text : NULL;
}

static int parse_query(const struct options *o, struct kp_store_query *ret, struct kp_selector **ret_selector,
    struct kp_error *err)
{
    *ret = (struct kp_store_query){
        .namespace = or_null(o->namespace), .service = or_null(o->service), .type = or_null(o->type)};
    if (o->out[0] == '\0')
        return kp_fail(err, KP_INVALID, "say where to: --out=FOLDER");
    if (o->since[0] && kp_time_parse_relative(o->since, kp_now_ms(), &ret->from_ms, err) != 0)
        return kp_wrap(err, "--since");
    if (o->until[0] && kp_time_parse_relative(o->until, kp_now_ms(), &ret->to_ms, err) != 0)
        return kp_wrap(err, "--until");
    if (o->selector[0] && kp_selector_parse(o->selector, true, ret_selector, err) != 0)
        return kp_wrap(err, "--selector");
    ret->selector = *ret_selector;
    return 0;
}

static int run(const struct options *o, struct export *e, struct kp_error *err)
{
    struct kp_store_query query;
    struct kp_selector *selector = NULL;
    kp_auto_free char *path = kp_asprintf("%s/records.jsonl", o->out);
    int rc = parse_query(o, &query, &selector, err);
    if (rc == 0)
        rc = kp_tool_check_folder(o->data_dir, err);
    if (rc == 0)
        rc = kp_dir_create(o->out, 0750, err);
    if (rc == 0)
        rc = kp_tool_open(o->data_dir, &e->store, err);
    if (rc == 0 && (e->records = fopen(path, "abe")) == NULL)
        rc = kp_fail_errno(err, errno, "cannot write '%s'", path);
    if (rc == 0)
        rc = export_all(e, &query, err);
    if (e->records && fclose(e->records) != 0 && rc == 0)
        rc = kp_fail_errno(err, errno, "cannot write '%s'", path);
    if (e->store)
        kp_store_close(e->store);
    kp_selector_destroy(selector);
    return rc;
}

int kp_registry_export_main(int argc, char **argv)
{
    struct options o = {0};
    struct kp_error err = {0};
    int rc = kp_tool_options(rows, KP_COUNT(rows), argc, argv, "registry export",
        "Writes profiles as files NAMESPACE_SERVICE_TYPE_TIME.pb.gz and adds their descriptions to "
        "records.jsonl.",
        &o);
    if (rc != 0)
        return rc - 1;
    struct export e = {.folder = o.out};
    rc = run(&o, &e, &err);
    if (rc != 0)
        rc = kp_tool_fail("export", &err);
    fprintf(stderr, "%llu profiles written\n", (unsigned long long)e.n);
    kp_options_finish(rows, KP_COUNT(rows), &o);
    return rc;
}
