// capture: profiles of running pods into files, many pods at a time.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "cli/ask.h"
#include "cli/command.h"
#include "cli/endpoints.h"
#include "cli/pods.h"
#include "cli/progress.h"
#include "cli/taking.h"
#include "base/banned.h"

#define REDRAW_MS 250
#define MAX_FILE  (64 << 20)

struct file {
    char *path, *type;
    const struct kp_pod *pod; // of the pods
    const char *container;
};

struct capture {
    struct kp_cli *cli;
    struct kp_pods pods;
    struct kp_endpoints endpoints;
    KP_ARRAY(struct kp_taking *) takings;
    size_t n_started, n_done;
    bool is_cancelled, is_over;
    char *dir, *socket_dir;
    struct kp_timer *redraw;
    KP_ARRAY(struct file) files;
};

// ---- what is going on ----

static void on_redraw(void *user)
{
    struct capture *c = user;
    kp_auto_strbuf text;
    kp_strbuf_init(&text, 4096);
    int64_t now = kp_mono_ms();
    kp_strbuf_addf(&text, "%zu of %zu done", c->n_done, c->takings.n);
    for (size_t i = 0; i < c->n_started && text.len < 400; i++) {
        char one[160];
        kp_taking_describe(c->takings.items[i], now, one);
        if (one[0])
            kp_strbuf_addf(&text, " | %s", one);
    }
    kp_progress_show(c->cli, text.data);
}

static void on_file(void *user, struct kp_taking *taking, const char *path, const char *type, uint64_t bytes)
{
    struct capture *c = user;
    const struct kp_target *target = kp_taking_target(taking);
    (void)bytes;
    *kp_array_add(&c->files) =
        (struct file){kp_strdup(path), kp_strdup(type), target->pod, target->container->name};
    kp_progress_clear(c->cli);
    fprintf(c->cli->out, "%s\n", path);
    fflush(c->cli->out);
}

static void on_failure(void *user, struct kp_taking *taking, const struct kp_error *err)
{
    struct capture *c = user;
    (void)taking;
    kp_progress_clear(c->cli);
    kp_cli_complain(c->cli, err);
}

static void start_some(struct capture *c);

static void on_done(void *user, struct kp_taking *taking)
{
    struct capture *c = user;
    (void)taking;
    c->n_done++;
    start_some(c);
}

// As many at a time as --parallel says.
static void start_some(struct capture *c)
{
    while (!c->is_cancelled && c->n_started < c->takings.n &&
           c->n_started - c->n_done < (size_t)c->cli->flags.parallel)
        kp_taking_start(c->takings.items[c->n_started++]);
    c->is_over = c->n_done == c->n_started && (c->is_cancelled || c->n_started == c->takings.n);
}

static void on_interrupt(void *user)
{
    struct capture *c = user;
    c->is_cancelled = true;
    for (size_t i = 0; i < c->n_started; i++)
        kp_taking_cancel(c->takings.items[i]);
    c->is_over = c->n_done == c->n_started;
}

// ---- before and after ----

static enum kp_reach_via via_of(const struct kp_cli *cli)
{
    return kp_streq(cli->flags.via, "proxy")          ? KP_REACH_PROXY
           : kp_streq(cli->flags.via, "port-forward") ? KP_REACH_FORWARD
                                                      : KP_REACH_AUTO;
}

// Sockets of port-forward lie where nobody else may enter.
static int make_socket_dir(struct capture *c, struct kp_error *err)
{
    const char *runtime = c->cli->env("XDG_RUNTIME_DIR");
    const char *temp = c->cli->env("TMPDIR");
    const char *base = kp_cli_given(runtime) ? runtime : kp_cli_given(temp) ? temp : "/tmp";
    char *path = kp_asprintf("%s/kubectl-pprof-XXXXXX", base);
    if (mkdtemp(path) == NULL) {
        int rc = kp_fail_errno(err, errno, "cannot make a folder for sockets in '%s'", base);
        kp_free(path);
        return rc;
    }
    c->socket_dir = path;
    return 0;
}

static int prepare(struct capture *c, struct kp_error *err)
{
    struct kp_cli *cli = c->cli;
    bool is_chosen = cli->n_args > 0 || kp_cli_given(cli->flags.selector) || kp_cli_given(cli->flags.port);
    int rc = kp_pods_find(cli, &c->pods, err);
    if (rc == 0)
        rc = kp_endpoints_find(cli, &c->pods, is_chosen, &c->endpoints, err);
    if (rc != 0)
        return rc;
    if (c->endpoints.n_left_out > 0)
        kp_cli_note(cli,
            "%zu of %zu pods do not say where pprof is (annotation or port name) and are left out",
            c->endpoints.n_left_out, c->pods.items.n);
    if (c->endpoints.items.n == 0)
        return cli->n_failures > 0 ? 0 : kp_fail(err, KP_NOT_FOUND, "there is nothing to capture");
    c->dir = kp_strdup(kp_cli_given(cli->flags.output_dir) ? cli->flags.output_dir : ".");
    rc = kp_dir_create(c->dir, 0755, err);
    if (rc == 0)
        rc = make_socket_dir(c, err);
    for (size_t i = 0; rc == 0 && i < c->endpoints.items.n; i++) {
        const struct kp_taking_options options = {.target = c->endpoints.items.items[i],
            .dir = c->dir,
            .socket_dir = c->socket_dir,
            .via = via_of(cli),
            .duration_ms = cli->flags.duration_ms,
            .on_file = on_file,
            .on_failure = on_failure,
            .on_done = on_done,
            .user = c};
        *kp_array_add(&c->takings) = kp_taking_create(cli, &options);
    }
    return rc;
}

static int take(struct capture *c, struct kp_error *err)
{
    struct kp_session *session = c->cli->session;
    if (c->cli->is_err_tty) {
        c->redraw = kp_timer_create(session->loop, on_redraw, c);
        kp_timer_start(c->redraw, REDRAW_MS, REDRAW_MS);
    }
    session->on_interrupt = on_interrupt;
    session->interrupt_user = c;
    start_some(c);
    int rc = kp_session_wait(c->cli, &c->is_over, err);
    session->on_interrupt = NULL;
    kp_timer_destroy(c->redraw);
    kp_progress_clear(c->cli);
    return rc;
}

// ---- --push ----

static int push_file(struct kp_cli *cli, const struct file *file, struct kp_error *err)
{
    char *data = NULL;
    char *id = NULL;
    size_t len = 0;
    int rc = kp_file_read(file->path, MAX_FILE, &data, &len, err);
    if (rc != 0)
        return rc;
    struct kp_query query;
    kp_auto_strbuf labels;
    kp_strbuf_init(&labels, 65536);
    kp_strbuf_addf(&labels, "pod=%s,container=%s", file->pod->name, file->container);
    for (size_t i = 0; i < cli->flags.labels.n; i++)
        kp_strbuf_addf(&labels, ",%s", cli->flags.labels.items[i]);
    kp_query_init(&query);
    kp_query_add(
        &query, "service", kp_cli_given(cli->flags.service) ? cli->flags.service : file->pod->workload_name);
    kp_query_add(&query, "type", file->type);
    kp_query_add(&query, "labels", labels.data);
    rc = kp_ask_store(cli, file->pod->namespace, &query, data, len, &id, err);
    if (rc == 0)
        kp_cli_note(cli, "%s is kept as %s", file->path, id);
    kp_query_finish(&query);
    kp_free(data);
    kp_free(id);
    return rc != 0 ? kp_wrap(err, "%s is not stored", file->path) : 0;
}

static void push_files(struct capture *c)
{
    for (size_t i = 0; i < c->files.n; i++) {
        struct kp_error err = {0};
        if (push_file(c->cli, &c->files.items[i], &err) != 0)
            kp_cli_complain(c->cli, &err);
    }
}

static void finish(struct capture *c)
{
    for (size_t i = 0; i < c->takings.n; i++)
        kp_taking_destroy(c->takings.items[i]);
    kp_array_free(&c->takings);
    for (size_t i = 0; i < c->files.n; i++) {
        kp_free(c->files.items[i].path);
        kp_free(c->files.items[i].type);
    }
    kp_array_free(&c->files);
    kp_endpoints_finish(&c->endpoints);
    kp_pods_finish(&c->pods);
    if (c->socket_dir != NULL)
        rmdir(c->socket_dir);
    kp_free(c->socket_dir);
    kp_free(c->dir);
}

int kp_cli_capture(struct kp_cli *cli, struct kp_error *err)
{
    struct capture c = {.cli = cli};
    int rc = prepare(&c, err);
    if (rc == 0 && c.takings.n > 0)
        rc = take(&c, err);
    bool push = cli->flags.push || kp_cli_given(cli->flags.profefe_hostport);
    if (rc == 0 && push)
        push_files(&c);
    if (rc == 0 && c.takings.n > 1 && cli->is_err_tty)
        kp_cli_note(cli, "%zu profiles of %zu processes", c.files.n, c.takings.n);
    char *first = rc == 0 && cli->flags.open && c.files.n > 0 ? kp_strdup(c.files.items[0].path) : NULL;
    finish(&c);
    if (first != NULL) {
        cli->args = &first;
        cli->n_args = 1;
        rc = kp_cli_flame(cli, err);
        kp_free(first);
    }
    return rc;
}
