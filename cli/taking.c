#include "cli/taking.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/blob.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/text.h"
#include "capture/answer.h"
#include "cli/filename.h"
#include "policy/types.h"
#include "base/banned.h"

#define SLACK_MS    (30 * (int64_t)1000)
#define SNAPSHOT_MS (60 * (int64_t)1000)

struct kp_taking {
    struct kp_cli *cli;
    struct kp_taking_options options;
    char *dir, *socket_dir;
    const struct kp_target *target;
    struct kp_reach *reach;
    size_t at; // which of target->wanted
    bool is_cancelled, is_running;

    // the profile that is being taken
    int64_t seconds, began_ms, began_mono_ms;
    int fd;
    char *temp;
    uint8_t head[16];
    uint64_t bytes;
    struct kp_error write_error;
};

static const struct kp_wanted *wanted(const struct kp_taking *t)
{
    return &t->target->wanted[t->at];
}

const struct kp_target *kp_taking_target(const struct kp_taking *taking)
{
    return taking->target;
}

struct kp_taking *kp_taking_create(struct kp_cli *cli, const struct kp_taking_options *options)
{
    struct kp_taking *t = KP_NEW(struct kp_taking);
    *t = (struct kp_taking){.cli = cli,
        .options = *options,
        .dir = kp_strdup(options->dir),
        .socket_dir = kp_strdup(options->socket_dir),
        .target = kp_target_ref(options->target),
        .fd = -1};
    const struct kp_pod *pod = t->target->pod;
    t->reach = kp_reach_create(cli, &(struct kp_reach_options){.namespace = pod->namespace,
                                        .pod = pod->name,
                                        .port = t->target->port,
                                        .https = t->target->https,
                                        .via = options->via,
                                        .prefix = options->prefix,
                                        .with_credentials = options->with_credentials,
                                        .dir = t->socket_dir});
    return t;
}

static void drop_file(struct kp_taking *t)
{
    if (t->fd >= 0)
        close(t->fd);
    if (t->temp != NULL)
        unlink(t->temp);
    kp_free(t->temp);
    t->temp = NULL;
    t->fd = -1;
}

void kp_taking_destroy(struct kp_taking *t)
{
    if (t == NULL)
        return;
    drop_file(t);
    kp_reach_destroy(t->reach);
    kp_target_unref(t->target);
    kp_free(t->dir);
    kp_free(t->socket_dir);
    kp_free(t);
}

void kp_taking_describe(const struct kp_taking *t, int64_t now_mono_ms, char out[160])
{
    out[0] = '\0';
    if (!t->is_running || t->at >= t->target->n_wanted)
        return;
    int64_t left = t->seconds - (now_mono_ms - t->began_mono_ms) / 1000;
    if (t->seconds > 0 && left > 0)
        snprintf(out, 160, "%s %s %llds", t->target->pod->name, wanted(t)->type, (long long)left);
    else
        snprintf(out, 160, "%s %s", t->target->pod->name, wanted(t)->type);
}

// ---- files ----

static char *file_name(const struct kp_taking *t, const char *type, int64_t time_ms)
{
    const struct kp_pod *pod = t->target->pod;
    const struct kp_file_name name = {.namespace = pod->namespace,
        .pod = pod->name,
        .container = t->target->container->name,
        .type = type,
        .time_ms = time_ms,
        .end = kp_streq(type, "trace") ? ".trace" : ".pb.gz"};
    kp_auto_free char *text = kp_file_name_format(&name);
    return kp_asprintf("%s/%s", t->dir, text);
}

// Under a name nobody can guess, and new: others may be able to write into the folder.
static int open_file(struct kp_taking *t, struct kp_error *err)
{
    unsigned long long any = 0;
    if (getrandom(&any, sizeof any, 0) < 0)
        return kp_fail_errno(err, errno, "no random number to be had");
    t->temp = kp_asprintf("%s/.kubectl-pprof-%016llx.part", t->dir, any);
    t->fd = open(t->temp, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0644);
    t->bytes = 0;
    t->write_error = (struct kp_error){0};
    if (t->fd >= 0)
        return 0;
    int rc = kp_fail_errno(err, errno, "cannot write into '%s'", t->dir);
    kp_free(t->temp);
    t->temp = NULL;
    return rc;
}

// Under a name nobody has: a file that is there is never written over.
static int place(const struct kp_taking *t, const char *type, char **ret, struct kp_error *err)
{
    for (int64_t ms = t->began_ms;; ms++) {
        char *path = file_name(t, type, ms);
        if (link(t->temp, path) == 0) {
            *ret = path;
            return 0;
        }
        // folders that know no links (FAT, some network mounts)
        if (errno != EEXIST &&
            syscall(SYS_renameat2, AT_FDCWD, t->temp, AT_FDCWD, path, 1U /* RENAME_NOREPLACE */) == 0) {
            *ret = path;
            return 0;
        }
        int why = errno;
        int rc = why == EEXIST ? 0 : kp_fail_errno(err, why, "cannot write '%s'", path);
        kp_free(path);
        if (rc != 0)
            return rc;
    }
}

static int keep_file(struct kp_taking *t, const char *type, struct kp_error *err)
{
    char *path = NULL;
    int rc = place(t, type, &path, err);
    if (rc == 0)
        t->options.on_file(t->options.user, t, path, type, t->bytes);
    kp_free(path);
    return rc;
}

static int finish_file(struct kp_taking *t, struct kp_error *err)
{
    int rc = 0;
    if (fsync(t->fd) != 0 && errno != EINVAL)
        rc = kp_fail_errno(err, errno, "cannot write '%s'", t->temp);
    if (rc == 0)
        rc = keep_file(t, wanted(t)->type, err);
    if (rc == 0 && wanted(t)->alias != NULL) // the same data under its second name
        rc = keep_file(t, wanted(t)->alias, err);
    drop_file(t);
    return rc;
}

// ---- one profile after the other ----

static void next(struct kp_taking *t);

static void fail(struct kp_taking *t, const struct kp_error *why)
{
    const struct kp_pod *pod = t->target->pod;
    kp_auto_free char *what = kp_asprintf("%s/%s %s", pod->namespace, pod->name, wanted(t)->type);
    t->options.on_failure(t->options.user, what, why);
}

// What the pod's answer means, in the words of the controller.
static void judge(const struct kp_taking *t, const struct kp_reach_answer *answer, struct kp_error *err)
{
    char where[256];
    char message[240];
    snprintf(where, sizeof where, "port %u%s", t->target->port, wanted(t)->path);
    const struct kp_order order = {
        .target = t->target, .wanted = wanted(t), .duration_ms = t->seconds * 1000};
    const struct kp_scrape_facts facts = {.order = &order, .where = where};
    bool is_refused = answer->error.code != 0;
    const struct kp_blob body = {.data = is_refused ? answer->refusal : t->head,
        .len = is_refused                  ? answer->refusal_len
               : t->bytes < sizeof t->head ? (size_t)t->bytes
                                           : sizeof t->head};
    const struct kp_http_result result = {.status = answer->status, .content_type = answer->content_type};
    enum kp_outcome outcome = kp_scrape_judge(&facts, &result, &body, message);
    if (outcome == KP_OUTCOME_SUCCEEDED)
        return;
    kp_fail(err, KP_UNAVAILABLE, "%s", message);
}

static void on_answer(void *user, const struct kp_reach_answer *answer)
{
    struct kp_taking *t = user;
    struct kp_error err = {0};
    if (t->write_error.code != 0)
        err = t->write_error;
    else if (answer->error.code == 0 || answer->status >= 300)
        judge(t, answer, &err);
    else
        err = answer->error;
    if (err.code == 0)
        finish_file(t, &err);
    else
        drop_file(t);
    if (err.code != 0 && !t->is_cancelled)
        fail(t, &err);
    t->at++;
    next(t);
}

static bool on_data(void *user, const uint8_t *data, size_t len)
{
    struct kp_taking *t = user;
    if (t->bytes < sizeof t->head) {
        size_t room = sizeof t->head - (size_t)t->bytes;
        memcpy(t->head + t->bytes, data, len < room ? len : room);
    }
    t->bytes += len;
    return kp_write_all(t->fd, data, len, &t->write_error) == 0;
}

static int begin(struct kp_taking *t, struct kp_error *err)
{
    const struct kp_profile_type *type = kp_profile_type(wanted(t)->type);
    int64_t usual_ms = type ? type->default_duration_ms : 0;
    bool takes_time = wanted(t)->collecting;
    t->seconds = takes_time ? (t->options.duration_ms ? t->options.duration_ms : usual_ms) / 1000 : 0;
    t->began_ms = kp_now_ms();
    t->began_mono_ms = kp_mono_ms();
    int rc = open_file(t, err);
    if (rc != 0)
        return rc;
    char query[32] = "";
    if (takes_time)
        snprintf(query, sizeof query, "?seconds=%lld", (long long)t->seconds);
    kp_auto_free char *path = kp_asprintf("%s%s", wanted(t)->path, query);
    const struct kp_reach_request request = {.path = path,
        .timeout_ms = takes_time ? t->seconds * 1000 + SLACK_MS : SNAPSHOT_MS,
        .max_body = KP_MAX_PROFILE_BYTES,
        .on_data = on_data,
        .on_done = on_answer,
        .user = t};
    rc = kp_reach_get(t->reach, &request, err);
    if (rc != 0)
        drop_file(t);
    return rc;
}

static void next(struct kp_taking *t)
{
    while (!t->is_cancelled && t->at < t->target->n_wanted) {
        struct kp_error err = {0};
        if (begin(t, &err) == 0)
            return;
        fail(t, &err);
        t->at++;
    }
    t->is_running = false;
    t->options.on_done(t->options.user, t);
}

void kp_taking_start(struct kp_taking *t)
{
    t->is_running = true;
    next(t);
}

void kp_taking_cancel(struct kp_taking *t)
{
    t->is_cancelled = true;
    kp_reach_cancel(t->reach);
}
