// What an argument is.
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/text.h"
#include "cli/source.h"
#include "base/banned.h"

#define OWN_ID     25 // Crockford's base 32; the time comes first, so until the year 3084 it begins with 0
#define PROFEFE_ID 20 // base 32 of RFC 4648's extended hex

bool kp_source_is_id(const char *arg)
{
    size_t len = strlen(arg);
    if (len == OWN_ID)
        return arg[0] == '0' && strspn(arg, "0123456789abcdefghjkmnpqrstvwxyz") == len;
    return len == PROFEFE_ID && strspn(arg, "0123456789abcdefghijklmnopqrstuv") == len &&
           strpbrk(arg, "0123456789") != NULL;
}

// ---- kinds ----

const char *kp_source_workload_kind(const char *arg, const char **ret_name)
{
    static const struct {
        const char *kind, *words;
    } rows[] = {
        {"Deployment", "deployment deployments deploy deployment.apps deployments.apps"},
        {"StatefulSet", "statefulset statefulsets sts statefulset.apps statefulsets.apps"},
        {"DaemonSet", "daemonset daemonsets ds daemonset.apps daemonsets.apps"},
        {"ReplicaSet", "replicaset replicasets rs replicaset.apps replicasets.apps"},
        {"Job", "job jobs job.batch jobs.batch"},
        {"CronJob", "cronjob cronjobs cj cronjob.batch cronjobs.batch"},
        {"Rollout", "rollout rollouts ro rollout.argoproj.io rollouts.argoproj.io"},
        {"ReplicationController", "replicationcontroller replicationcontrollers rc"},
        {"Pod", "pod pods po"},
        {"StaticPod", "staticpod staticpods"},
    };
    size_t len = strcspn(arg, "/");
    if (arg[len] == '\0' || arg[len + 1] == '\0' || strchr(arg + len + 1, '/') != NULL)
        return NULL;
    for (size_t i = 0; i < KP_COUNT(rows); i++)
        for (const char *p = rows[i].words; *p; p += strspn(p, " ")) {
            size_t n = strcspn(p, " ");
            if (n == len && strncasecmp(p, arg, n) == 0) {
                *ret_name = arg + len + 1;
                return rows[i].kind;
            }
            p += n;
        }
    return NULL;
}

// ---- files ----

// `go build` leaves a program of the service's name where people work.
static bool is_program(const char *path)
{
    char magic[4] = {0};
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    size_t n = fread(magic, 1, sizeof magic, file);
    fclose(file);
    return n == sizeof magic && memcmp(magic,
                                    "\x7f"
                                    "ELF",
                                    sizeof magic) == 0;
}

static bool is_there(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && !S_ISDIR(st.st_mode) && !(S_ISREG(st.st_mode) && is_program(path));
}

static bool is_written_as_file(const char *arg)
{
    static const char *const ends[] = {".gz", ".pb", ".pprof", ".prof", ".pgo", ".out", ".txt"};
    if (kp_streq(arg, "-") || arg[0] == '/' || arg[0] == '~' || kp_starts_with(arg, "./") ||
        kp_starts_with(arg, "../"))
        return true;
    for (size_t i = 0; i < KP_COUNT(ends); i++)
        if (kp_ends_with(arg, ends[i]))
            return true;
    return false;
}

enum kp_source_kind kp_source_kind_of(const char *arg)
{
    if (is_written_as_file(arg) || is_there(arg))
        return KP_SOURCE_FILES;
    return kp_source_is_id(arg) ? KP_SOURCE_IDS : KP_SOURCE_WORKLOAD;
}
