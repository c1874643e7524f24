// `kube-pprof registry verify` and `repair`.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/file.h"
#include "base/text.h"
#include "controller/registry_tools.h"
#include "base/banned.h"

struct options {
    char *data_dir;
};

static const struct kp_option rows[] = {
    {"data-dir", "FOLDER", KP_OPTION_STRING, offsetof(struct options, data_dir), "kube-pprof-data", 0, 0,
        "The data folder. No registry may have it open."},
};

struct damage {
    KP_ARRAY(char *) files; // each once
    size_t n;
};

static void on_damage(void *user, const char *file, const char *what)
{
    struct damage *d = user;
    printf("%s: %s\n", file, what);
    d->n++;
    for (size_t i = 0; i < d->files.n; i++)
        if (kp_streq(d->files.items[i], file))
            return;
    *kp_array_add(&d->files) = kp_strdup(file);
}

static void damage_free(struct damage *d)
{
    for (size_t i = 0; i < d->files.n; i++)
        kp_free(d->files.items[i]);
    kp_array_free(&d->files);
}

// Opening would make a folder that is not there.
static int check_folder(const char *dir, struct kp_error *err)
{
    struct stat st;
    if (stat(dir, &st) != 0)
        return kp_fail_errno(err, errno, "cannot read the data folder '%s'", dir);
    if (!S_ISDIR(st.st_mode))
        return kp_fail(err, KP_INVALID, "'%s' is not a folder", dir);
    return 0;
}

// Opens, looks at everything, closes.
static int look(
    const char *dir, struct damage *damage, struct kp_store_stats *ret_stats, struct kp_error *err)
{
    struct kp_store *store;
    int rc = check_folder(dir, err);
    if (rc == 0)
        rc = kp_tool_open(dir, &store, err);
    if (rc != 0)
        return rc;
    rc = kp_store_verify(store, on_damage, damage, err);
    kp_store_get_stats(store, ret_stats);
    kp_store_close(store);
    return rc;
}

int kp_registry_verify_main(int argc, char **argv)
{
    struct options o = {0};
    struct damage damage = {0};
    struct kp_store_stats stats = {0};
    struct kp_error err = {0};
    int rc = kp_tool_options(rows, KP_COUNT(rows), argc, argv, "registry verify",
        "Reads every segment and log file of a data folder, checks every sum, and that every profile can be "
        "read.\nPrints what is wrong, a line each; the exit status is 1 then.",
        &o);
    if (rc != 0)
        return rc - 1;
    if (look(o.data_dir, &damage, &stats, &err) != 0)
        rc = kp_tool_fail("verify", &err);
    else
        fprintf(stderr, "%llu profiles, %llu of them in %llu segments: %zu faults\n",
            (unsigned long long)stats.n_profiles, (unsigned long long)stats.n_sealed,
            (unsigned long long)stats.n_segments, damage.n);
    rc = rc != 0 || damage.n > 0;
    damage_free(&damage);
    kp_options_finish(rows, KP_COUNT(rows), &o);
    return rc;
}

// ---- repair ----

// A segment, or the mark beside it, goes to quarantine/, under a name without slashes. Log files stay: when
// the index is made anew what is damaged in them is left out.
static int move_file(const char *dir, const char *file, struct kp_error *err)
{
    kp_auto_free char *from = kp_asprintf("%s/segments/%s", dir, file);
    kp_auto_free char *folder = kp_asprintf("%s/quarantine", dir);
    kp_auto_free char *name = kp_strdup(file);
    if (strstr(file, "..") || access(from, F_OK) != 0)
        return 0;
    for (char *p = name; *p; p++)
        if (*p == '/')
            *p = '_';
    kp_auto_free char *to = kp_asprintf("%s/%s", folder, name);
    if (kp_dir_create(folder, 0700, err) != 0)
        return err->code;
    if (rename(from, to) != 0)
        return kp_fail_errno(err, errno, "cannot move '%s' to '%s'", from, to);
    printf("%s: moved to %s\n", from, to);
    return 0;
}

static int put_aside(const char *dir, const char *file, struct kp_error *err)
{
    kp_auto_free char *mark = kp_asprintf("%s.bad", file);
    int rc = move_file(dir, file, err);
    return rc == 0 ? move_file(dir, mark, err) : rc;
}

static int drop_index(const char *dir, struct kp_error *err)
{
    static const char *const names[] = {"index.db", "index.db-wal", "index.db-shm"};
    for (size_t i = 0; i < KP_COUNT(names); i++) {
        kp_auto_free char *path = kp_asprintf("%s/%s", dir, names[i]);
        if (unlink(path) != 0 && errno != ENOENT)
            return kp_fail_errno(err, errno, "cannot remove '%s'", path);
    }
    return 0;
}

static int repair(const char *dir, struct kp_store_stats *ret_stats, struct kp_error *err)
{
    struct damage before = {0};
    struct damage after = {0};
    int rc = look(dir, &before, ret_stats, err);
    for (size_t i = 0; rc == 0 && i < before.files.n; i++)
        rc = put_aside(dir, before.files.items[i], err);
    if (rc == 0)
        rc = drop_index(dir, err);
    if (rc == 0)
        rc = look(dir, &after, ret_stats, err); // makes the index anew
    damage_free(&before);
    damage_free(&after);
    return rc;
}

int kp_registry_repair_main(int argc, char **argv)
{
    struct options o = {0};
    struct kp_store_stats stats = {0};
    struct kp_error err = {0};
    int rc = kp_tool_options(rows, KP_COUNT(rows), argc, argv, "registry repair",
        "Puts damaged segments aside (into quarantine/ of the data folder), leaves out what is damaged in "
        "the "
        "log, and makes the index anew.",
        &o);
    if (rc != 0)
        return rc - 1;
    rc = repair(o.data_dir, &stats, &err);
    if (rc != 0)
        rc = kp_tool_fail("repair", &err);
    else
        fprintf(stderr, "%llu profiles, %llu of them in %llu segments\n",
            (unsigned long long)stats.n_profiles, (unsigned long long)stats.n_sealed,
            (unsigned long long)stats.n_segments);
    kp_options_finish(rows, KP_COUNT(rows), &o);
    return rc;
}
