// `kube-pprof registry verify`: reads everything.
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/alloc.h"
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

static void on_fault(void *user, const char *file, const char *what)
{
    struct kp_faults *d = user;
    printf("%s: %s\n", file, what);
    d->n++;
    for (size_t i = 0; i < d->files.n; i++)
        if (kp_streq(d->files.items[i], file))
            return;
    *kp_array_add(&d->files) = kp_strdup(file);
}

void kp_faults_free(struct kp_faults *d)
{
    for (size_t i = 0; i < d->files.n; i++)
        kp_free(d->files.items[i]);
    kp_array_free(&d->files);
}

int kp_tool_check_folder(const char *dir, struct kp_error *err)
{
    struct stat st;
    if (stat(dir, &st) != 0)
        return kp_fail_errno(err, errno, "cannot read the data folder '%s'", dir);
    if (!S_ISDIR(st.st_mode))
        return kp_fail(err, KP_INVALID, "'%s' is not a folder", dir);
    return 0;
}

int kp_tool_look(
    const char *dir, struct kp_faults *faults, struct kp_store_stats *ret_stats, struct kp_error *err)
{
    struct kp_store *store;
    int rc = kp_tool_check_folder(dir, err);
    if (rc == 0)
        rc = kp_tool_open(dir, &store, err);
    if (rc != 0)
        return rc;
    rc = kp_store_verify(store, on_fault, faults, err);
    kp_store_get_stats(store, ret_stats);
    kp_store_close(store);
    return rc;
}

int kp_registry_verify_main(int argc, char **argv)
{
    struct options o = {0};
    struct kp_faults damage = {0};
    struct kp_store_stats stats = {0};
    struct kp_error err = {0};
    int rc = kp_tool_options(rows, KP_COUNT(rows), argc, argv, "registry verify",
        "Reads every segment and log file of a data folder, checks every sum, and that every profile can be "
        "read.\nPrints what is wrong, a line each; the exit status is 1 then.",
        &o);
    if (rc != 0)
        return rc - 1;
    if (kp_tool_look(o.data_dir, &damage, &stats, &err) != 0)
        rc = kp_tool_fail("verify", &err);
    else
        fprintf(stderr, "%llu profiles, %llu of them in %llu segments: %zu fault%s\n",
            (unsigned long long)stats.n_profiles, (unsigned long long)stats.n_sealed,
            (unsigned long long)stats.n_segments, damage.n, damage.n == 1 ? "" : "s");
    rc = rc != 0 || damage.n > 0;
    kp_faults_free(&damage);
    kp_options_finish(rows, KP_COUNT(rows), &o);
    return rc;
}
