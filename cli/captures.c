#include "cli/captures.h"

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
#include "cli/flame.h"
#include "cli/progress.h"
#include "base/banned.h"

#define REDRAW_MS       250
#define MAX_SOCKET_BASE 60 // addresses of sockets are short (unix(7))
#define MAX_FILE        (64 << 20)

struct file {
    char *path, *type;
    const struct kp_pod *pod; // of the taking
    const char *container;
};

struct kp_captures {
    struct kp_cli *cli;
    KP_ARRAY(struct kp_taking *) takings;
    size_t n_started, n_done;
    bool is_cancelled, is_over;
    char *dir, *socket_dir;
    size_t there; // so much of dir was there before
    struct kp_timer *redraw;
    KP_ARRAY(struct file) files;
};

// ---- what is going on ----

static void on_redraw(void *user)
{
    struct kp_captures *c = user;
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
    struct kp_captures *c = user;
    const struct kp_target *target = kp_taking_target(taking);
    (void)bytes;
    *kp_array_add(&c->files) =
        (struct file){kp_strdup(path), kp_strdup(type), target->pod, target->container->name};
    kp_progress_clear(c->cli);
    fprintf(c->cli->out, "%s\n", path);
    fflush(c->cli->out);
}

static void on_failure(void *user, const char *what, const struct kp_error *err)
{
    struct kp_captures *c = user;
    kp_progress_clear(c->cli);
    kp_cli_complain_of(c->cli, what, err);
}

static void start_some(struct kp_captures *c);

static void on_done(void *user, struct kp_taking *taking)
{
    struct kp_captures *c = user;
    (void)taking;
    c->n_done++;
    start_some(c);
}

// As many at a time as --parallel says.
static void start_some(struct kp_captures *c)
{
    while (!c->is_cancelled && c->n_started < c->takings.n &&
           c->n_started - c->n_done < (size_t)c->cli->flags.parallel)
        kp_taking_start(c->takings.items[c->n_started++]);
    c->is_over = c->n_done == c->n_started && (c->is_cancelled || c->n_started == c->takings.n);
}

static void on_interrupt(void *user)
{
    struct kp_captures *c = user;
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
static int make_socket_dir(struct kp_captures *c, struct kp_error *err)
{
    const char *const bases[] = {c->cli->env("XDG_RUNTIME_DIR"), c->cli->env("TMPDIR"), "/tmp"};
    int why = 0;
    for (size_t i = 0; i < KP_COUNT(bases) && c->socket_dir == NULL; i++) {
        if (!kp_cli_given(bases[i]) || strlen(bases[i]) > MAX_SOCKET_BASE)
            continue;
        char *path = kp_asprintf("%s/kubectl-pprof-XXXXXX", bases[i]);
        if (mkdtemp(path) != NULL) {
            c->socket_dir = path;
        } else {
            why = errno;
            kp_free(path);
        }
    }
    return c->socket_dir ? 0 : kp_fail_errno(err, why, "cannot make a folder for sockets in '/tmp'");
}

// Length of the longest path to dir that exists.
static size_t find_there(const char *dir)
{
    kp_auto_free char *path = kp_strdup(dir);
    char *slash;
    while (access(path, F_OK) != 0 && (slash = strrchr(path, '/')) != NULL)
        *slash = '\0';
    return access(path, F_OK) == 0 ? strlen(path) : 0;
}

// Where nothing was captured no folder stays that was not there before; one with something in it does.
static void drop_dir(struct kp_captures *c)
{
    char *slash;
    while (strlen(c->dir) > c->there && rmdir(c->dir) == 0 && (slash = strrchr(c->dir, '/')) != NULL)
        *slash = '\0';
}

int kp_captures_create(struct kp_cli *cli, struct kp_captures **ret, struct kp_error *err)
{
    struct kp_captures *c = KP_NEW(struct kp_captures);
    c->cli = cli;
    c->dir = kp_strdup(kp_cli_given(cli->flags.output_dir) ? cli->flags.output_dir : ".");
    c->there = find_there(c->dir);
    int rc = kp_dir_create(c->dir, 0755, err);
    if (rc == 0)
        rc = make_socket_dir(c, err);
    if (rc == 0)
        *ret = c;
    else
        kp_captures_destroy(c);
    return rc;
}

void kp_captures_add(
    struct kp_captures *c, const struct kp_target *target, const char *prefix, bool with_credentials)
{
    const struct kp_taking_options options = {.target = target,
        .dir = c->dir,
        .socket_dir = c->socket_dir,
        .via = via_of(c->cli),
        .prefix = prefix,
        .with_credentials = with_credentials,
        .duration_ms = c->cli->flags.duration_ms,
        .on_file = on_file,
        .on_failure = on_failure,
        .on_done = on_done,
        .user = c};
    *kp_array_add(&c->takings) = kp_taking_create(c->cli, &options);
}

static int take(struct kp_captures *c, struct kp_error *err)
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
    for (size_t i = 0; i < cli->flags.labels.n; i++) { // capture.c saw to the '='
        const char *value = strchr(cli->flags.labels.items[i], '=') + 1;
        kp_auto_free char *key =
            kp_strndup(cli->flags.labels.items[i], (size_t)(value - 1 - cli->flags.labels.items[i]));
        kp_strbuf_addc(&labels, ',');
        kp_strbuf_add_url(&labels, key);
        kp_strbuf_addc(&labels, '=');
        kp_strbuf_add_url(&labels, value);
    }
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
    if (rc != 0 && err->http_status == 422 && strstr(err->text, "no samples") != NULL) {
        kp_cli_note(cli, "%s has no samples: nothing to store", file->path);
        kp_error_clear(err);
        return 0;
    }
    return rc != 0 ? kp_wrap(err, "%s is not stored", file->path) : 0;
}

static void push_files(struct kp_captures *c)
{
    for (size_t i = 0; i < c->files.n; i++) {
        struct kp_error err = {0};
        if (push_file(c->cli, &c->files.items[i], &err) != 0)
            kp_cli_complain(c->cli, &err);
    }
}

// The first that is a profile: a trace has no flame graph.
static int show_first(struct kp_captures *c, struct kp_error *err)
{
    for (size_t i = 0; i < c->files.n; i++)
        if (!kp_streq(c->files.items[i].type, "trace"))
            return kp_flame_show_file(c->cli, c->files.items[i].path, err);
    kp_cli_note(c->cli, "a trace has no flame graph: `go tool trace %s` shows it", c->files.items[0].path);
    return 0;
}

int kp_captures_run(struct kp_captures *c, struct kp_error *err)
{
    const struct kp_cli_flags *f = &c->cli->flags;
    int rc = c->takings.n > 0 ? take(c, err) : 0;
    if (rc == 0 && (f->push || kp_cli_given(f->profefe_hostport)))
        push_files(c);
    if (rc == 0 && c->takings.n > 1 && c->cli->is_err_tty)
        kp_cli_note(c->cli, "%zu profiles of %zu processes", c->files.n, c->takings.n);
    return rc == 0 && f->open && c->files.n > 0 ? show_first(c, err) : rc;
}

void kp_captures_destroy(struct kp_captures *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < c->takings.n; i++)
        kp_taking_destroy(c->takings.items[i]);
    kp_array_free(&c->takings);
    for (size_t i = 0; i < c->files.n; i++) {
        kp_free(c->files.items[i].path);
        kp_free(c->files.items[i].type);
    }
    kp_array_free(&c->files);
    if (c->socket_dir != NULL)
        rmdir(c->socket_dir);
    drop_dir(c);
    kp_free(c->socket_dir);
    kp_free(c->dir);
    kp_free(c);
}
