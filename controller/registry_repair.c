// `kube-pprof registry repair`: damaged segments go to quarantine/, which is a data folder of its own; what
// can still be read there is put into the log again; the index is made anew.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/text.h"
#include "controller/registry_tools.h"
#include "base/banned.h"

#define PAGE 1000

struct options {
    char *data_dir;
};

static const struct kp_option rows[] = {
    {"data-dir", "FOLDER", KP_OPTION_STRING, offsetof(struct options, data_dir), "kube-pprof-data", 0, 0,
        "The data folder. No registry may have it open."},
};

static int drop_file(const char *path, struct kp_error *err)
{
    if (unlink(path) != 0 && errno != ENOENT)
        return kp_fail_errno(err, errno, "cannot remove '%s'", path);
    return 0;
}

static int drop_index(const char *dir, struct kp_error *err)
{
    static const char *const names[] = {"index.db", "index.db-wal", "index.db-shm"};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < KP_COUNT(names); i++) {
        kp_auto_free char *path = kp_asprintf("%s/%s", dir, names[i]);
        rc = drop_file(path, err);
    }
    return rc;
}

// A segment; log files stay: when the index is made anew what is damaged in them is left out.
static int put_aside(const char *dir, const char *file, struct kp_error *err)
{
    kp_auto_free char *from = kp_asprintf("%s/segments/%s", dir, file);
    kp_auto_free char *mark = kp_asprintf("%s.bad", from);
    kp_auto_free char *to = kp_asprintf("%s/quarantine/segments/%s", dir, file);
    kp_auto_free char *folder = kp_strndup(to, (size_t)(strrchr(to, '/') - to));
    if (file[0] == '/' || strstr(file, ".."))
        return 0;
    if (access(from, F_OK) != 0)
        return drop_file(mark, err); // somebody removed what it is about
    if (kp_dir_create(folder, 0700, err) != 0)
        return err->code;
    if (rename(from, to) != 0)
        return kp_fail_errno(err, errno, "cannot move '%s' to '%s'", from, to);
    printf("%s: moved to %s\n", from, to);
    return drop_file(mark, err);
}

// ---- what can still be read ----

struct rescue {
    struct kp_store *from;
    struct kp_intake *to;
    struct kp_error error;
};

static bool on_record(void *user, const struct kp_record *record)
{
    struct rescue *r = user;
    struct kp_record copy;
    struct kp_blob *body = NULL;
    if (kp_store_get(r->from, record->id, NULL, &body, NULL) != 0)
        return true; // that one is lost
    kp_record_copy(&copy, record);
    int rc = kp_intake_add(r->to, &copy, body->data, body->len, &r->error);
    kp_blob_unref(body);
    return rc == 0;
}

static int rescue_all(struct rescue *r, struct kp_error *err)
{
    kp_auto_free char *cursor = NULL;
    do {
        kp_auto_free char *next = NULL;
        const struct kp_store_query query = {.limit = PAGE, .cursor = cursor};
        if (kp_store_list(r->from, &query, on_record, r, &next, err) != 0)
            return err->code;
        kp_free(cursor);
        cursor = kp_take(next);
    } while (cursor && r->error.code == 0);
    return r->error.code != 0 ? kp_fail(err, r->error.code, "%s", r->error.text)
                              : kp_intake_flush(r->to, err);
}

static int rescue(const char *dir, uint64_t *ret_n, struct kp_error *err)
{
    kp_auto_free char *quarantine = kp_asprintf("%s/quarantine", dir);
    struct kp_store *store = NULL;
    struct rescue r = {0};
    int rc = kp_tool_open(dir, &store, err);
    if (rc == 0)
        rc = kp_tool_open(quarantine, &r.from, err);
    if (rc == 0)
        rc = kp_intake_create(store, &r.to, err);
    if (rc == 0)
        rc = rescue_all(&r, err);
    if (r.to)
        *ret_n = kp_intake_counts(r.to).stored;
    kp_intake_destroy(r.to);
    if (r.from)
        kp_store_close(r.from);
    if (store)
        kp_store_close(store);
    return rc;
}

// ---- all of it ----

static int repair(
    const char *dir, uint64_t *ret_rescued, struct kp_store_stats *ret_stats, struct kp_error *err)
{
    struct kp_faults before = {0};
    struct kp_faults after = {0};
    int rc = kp_tool_look(dir, &before, ret_stats, err);
    uint64_t n_before = ret_stats->n_profiles;
    for (size_t i = 0; rc == 0 && i < before.files.n; i++)
        rc = put_aside(dir, before.files.items[i], err);
    if (rc == 0)
        rc = drop_index(dir, err);
    if (rc == 0 && before.files.n > 0)
        rc = rescue(dir, ret_rescued, err);
    if (rc == 0)
        rc = kp_tool_look(dir, &after, ret_stats, err);
    if (rc == 0 && after.n > 0)
        rc = kp_fail(err, KP_CORRUPT,
            after.n == 1 ? "there is still %zu fault" : "there are still %zu faults", after.n);
    if (rc == 0 && ret_stats->n_profiles < n_before)
        fprintf(stderr, "%llu profiles are lost\n", (unsigned long long)(n_before - ret_stats->n_profiles));
    kp_faults_free(&before);
    kp_faults_free(&after);
    return rc;
}

int kp_registry_repair_main(int argc, char **argv)
{
    struct options o = {0};
    struct kp_store_stats stats = {0};
    struct kp_error err = {0};
    uint64_t rescued = 0;
    int rc = kp_tool_options(rows, KP_COUNT(rows), argc, argv, "registry repair",
        "Puts damaged segments aside, into quarantine/ of the data folder, and what can still be read of "
        "them back "
        "into the log (under new ids). Leaves out what is damaged in the log, and makes the index anew.",
        &o);
    if (rc != 0)
        return rc - 1;
    rc = repair(o.data_dir, &rescued, &stats, &err);
    if (rc != 0)
        rc = kp_tool_fail("repair", &err);
    else
        fprintf(stderr, "%llu profiles, %llu of them saved out of damaged segments\n",
            (unsigned long long)stats.n_profiles, (unsigned long long)rescued);
    kp_options_finish(rows, KP_COUNT(rows), &o);
    return rc;
}
