// `kube-pprof registry import`: folders of an export, single files, a running profefe.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "api/admit.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/text.h"
#include "controller/registry_tools.h"
#include "base/banned.h"

struct options {
    char *data_dir, *service, *type, *labels, *from_profefe, *namespace, *namespace_label;
    struct kp_option_list from;
};

#define AT(field) offsetof(struct options, field)

static const struct kp_option rows[] = {
    {"data-dir", "FOLDER", KP_OPTION_STRING, AT(data_dir), "kube-pprof-data", 0, 0,
        "The data folder, made if it is not there. No registry may have it open."},
    {"from", "PATH", KP_OPTION_LIST, AT(from), NULL, 0, 0,
        "A folder that `registry export` wrote, or a profile (then --service and --type say what it is). May "
        "be "
        "repeated."},
    {"from-profefe", "URL", KP_OPTION_STRING, AT(from_profefe), NULL, 0, 0,
        "A running profefe: all its services and profiles."},
    {"namespace", "NAME", KP_OPTION_STRING, AT(namespace), NULL, 0, 0,
        "Namespace of profiles that name none: those of profefe, single ones. Without it only who may read "
        "all\n"
        "namespaces sees them."},
    {"namespace-label", "LABEL", KP_OPTION_STRING, AT(namespace_label), NULL, 0, 0,
        "Label of such profiles that holds their namespace: `namespace` of those that kube-profefe took. "
        "Whoever\n"
        "could push to profefe could write it."},
    {"service", "NAME", KP_OPTION_STRING, AT(service), NULL, 0, 0, "Service of single profiles."},
    {"type", "TYPE", KP_OPTION_STRING, AT(type), NULL, 0, 0, "Type of single profiles: cpu, heap ..."},
    {"labels", "LABELS", KP_OPTION_STRING, AT(labels), NULL, 0, 0, "Labels of single profiles: a=b,c=d"},
};

static int import_line(struct kp_intake *intake, const char *folder, const char *line, struct kp_error *err)
{
    struct kp_record record;
    struct kp_error why = {0};
    kp_auto_free char *file = NULL;
    kp_auto_free char *data = NULL;
    size_t len = 0;
    int rc = kp_tool_read_record(line, &record, &file, &why);
    kp_auto_free char *path = kp_asprintf("%s/%s", folder, file ? file : "");
    if (rc == 0)
        rc = kp_file_read(path, KP_MAX_PROFILE_BYTES, &data, &len, &why);
    if (rc == 0)
        return kp_intake_add(intake, &record, data, len, err);
    fprintf(stderr, "left out '%s': %s\n", file ? file : line, why.text);
    kp_record_finish(&record);
    return 0;
}

static int import_folder(struct kp_intake *intake, const char *folder, struct kp_error *err)
{
    kp_auto_free char *path = kp_asprintf("%s/records.jsonl", folder);
    FILE *in = fopen(path, "rbe");
    char *line = NULL; // getline's own
    size_t cap = 0;
    int rc = 0;
    if (in == NULL)
        return kp_fail_errno(err, errno, "cannot read '%s': is the folder one that export wrote?", path);
    while (rc == 0 && getline(&line, &cap, in) > 0)
        rc = import_line(intake, folder, line, err);
    free(line); // NOLINT: not from our allocator
    fclose(in);
    return rc;
}

static int import_file(
    struct kp_intake *intake, const struct options *o, const char *path, struct kp_error *err)
{
    struct kp_record record;
    kp_auto_free char *data = NULL;
    size_t len = 0;
    kp_record_init(&record);
    if (o->service[0] == '\0' || o->type[0] == '\0')
        return kp_fail(err, KP_INVALID, "say what '%s' is: --service=NAME --type=TYPE", path);
    int rc = kp_file_read(path, KP_MAX_PROFILE_BYTES, &data, &len, err);
    if (rc == 0 && o->labels[0] && kp_labels_parse(o->labels, &record.labels, err) != 0)
        rc = kp_wrap(err, "--labels");
    if (rc != 0) {
        kp_record_finish(&record);
        return rc;
    }
    record.service = kp_strdup(o->service);
    record.type = kp_strdup(o->type);
    record.format = kp_strdup(kp_streq(o->type, "trace") ? "trace" : "pprof");
    return kp_intake_add(intake, &record, data, len, err);
}

static int import_all(struct kp_intake *intake, const struct options *o, struct kp_error *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < o->from.n; i++) {
        struct stat st;
        const char *path = o->from.items[i];
        if (stat(path, &st) != 0)
            rc = kp_fail_errno(err, errno, "cannot read '%s'", path);
        else if (S_ISDIR(st.st_mode))
            rc = import_folder(intake, path, err);
        else
            rc = import_file(intake, o, path, err);
    }
    if (rc == 0 && o->from_profefe[0])
        rc = kp_import_profefe(o->from_profefe, intake, err);
    return rc == 0 ? kp_intake_flush(intake, err) : rc;
}

static int run(const struct options *o, struct kp_intake_counts *ret, struct kp_error *err)
{
    struct kp_store *store;
    struct kp_intake *intake = NULL;
    if (o->from.n == 0 && o->from_profefe[0] == '\0')
        return kp_fail(err, KP_INVALID, "say what to import: --from=PATH or --from-profefe=URL");
    if (o->namespace[0] != '\0' && !kp_api_is_namespace(o->namespace))
        return kp_fail(err, KP_INVALID, "--namespace: '%.80s' is not the name of a namespace", o->namespace);
    int rc = kp_tool_open(o->data_dir, &store, err);
    if (rc != 0)
        return rc;
    rc = kp_intake_create(store, &intake, err);
    if (rc == 0) {
        kp_intake_set_namespaces(intake, o->namespace_label[0] != '\0' ? o->namespace_label : NULL,
            o->namespace[0] != '\0' ? o->namespace : NULL);
        rc = import_all(intake, o, err);
        *ret = kp_intake_counts(intake);
    }
    kp_intake_destroy(intake);
    kp_store_close(store);
    return rc;
}

int kp_registry_import_main(int argc, char **argv)
{
    struct options o = {0};
    struct kp_error err = {0};
    struct kp_intake_counts counts = {0};
    int rc = kp_tool_options(rows, KP_COUNT(rows), argc, argv, "registry import",
        "Puts profiles into a data folder. What is there already is left as it is, so that it can be run "
        "again.",
        &o);
    if (rc != 0)
        return rc - 1;
    rc = run(&o, &counts, &err);
    if (rc != 0)
        rc = kp_tool_fail("import", &err);
    fprintf(stderr, "%llu profiles stored, %llu were there already, %llu left out\n",
        (unsigned long long)counts.stored, (unsigned long long)counts.known,
        (unsigned long long)counts.refused);
    if (counts.gone > 0)
        fprintf(stderr,
            "%llu profiles of namespaces that were deleted since are not kept: their past is gone\n",
            (unsigned long long)counts.gone);
    kp_options_finish(rows, KP_COUNT(rows), &o);
    return rc;
}
