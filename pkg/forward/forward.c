// The Unix socket and who may connect to it.
#include "forward/forward.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "forward/forward_private.h"
#include "base/banned.h"

enum { MAX_SOCKETS = 100000, REST_MS = 100, DEFAULT_CONNECT_MS = 10 * 1000, DEFAULT_PING_MS = 20 * 1000 };

// ---- accepting ----

static bool is_ours(int fd)
{
    struct ucred peer = {0};
    socklen_t len = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.uid == geteuid();
}

static void listen_on(struct kp_forward *forward)
{
    bool may = forward->n_conns < KP_FORWARD_CONNECTIONS && !kp_timer_active(forward->rest);
    kp_watch_set(forward->watch, may, false);
}

static void on_rested(void *user)
{
    listen_on(user);
}

static void on_connection(void *user)
{
    struct kp_forward *forward = user;
    int fd = accept4(forward->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0 && is_ours(fd)) {
        forward->n_conns++;
        kp_forward_conn_start(forward, fd);
    } else if (fd >= 0) {
        close(fd);
    } else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
        struct kp_error err = {0};
        kp_fail_errno(&err, errno, "cannot accept a connection on '%s'", forward->socket);
        kp_forward_failed(forward, &err);
        kp_timer_start(forward->rest, REST_MS, 0);
    }
    listen_on(forward);
}

void kp_forward_conn_ended(struct kp_forward *forward)
{
    forward->n_conns--;
    if (forward->watch != NULL)
        listen_on(forward);
}

// ---- the socket ----

static int check_dir(const char *dir, struct kp_error *err)
{
    struct stat info;
    if (lstat(dir, &info) != 0)
        return kp_fail_errno(err, errno, "cannot use directory '%s'", dir);
    if (!S_ISDIR(info.st_mode))
        return kp_fail(err, KP_INVALID, "'%s' is not a directory", dir);
    if (info.st_uid != geteuid() || (info.st_mode & 077) != 0)
        return kp_fail(err, KP_DENIED, "directory '%s' is not ours alone: give it mode 0700", dir);
    return 0;
}

static int bind_socket(struct kp_forward *forward, const char *dir, struct kp_error *err)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    for (int i = 0; i < MAX_SOCKETS; i++) {
        int n = snprintf(addr.sun_path, sizeof addr.sun_path, "%s/forward-%d", dir, i);
        if (n < 0 || (size_t)n >= sizeof addr.sun_path)
            return kp_fail(err, KP_INVALID,
                "path '%s' is too long for a socket: use a directory with a shorter one", dir);
        if (bind(forward->fd, (const struct sockaddr *)(const void *)&addr, sizeof addr) == 0) {
            forward->bound = true;
            forward->socket = kp_strdup(addr.sun_path);
            return 0;
        }
        if (errno != EADDRINUSE)
            break;
    }
    return kp_fail_errno(err, errno, "cannot make a socket in '%s'", dir);
}

static int open_socket(struct kp_forward *forward, const char *dir, struct kp_error *err)
{
    int code = check_dir(dir, err);
    if (code != 0)
        return code;
    forward->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (forward->fd < 0)
        return kp_fail_errno(err, errno, "cannot make a socket");
    code = bind_socket(forward, dir, err);
    if (code != 0)
        return code;
    if (chmod(forward->socket, 0600) != 0 || listen(forward->fd, KP_FORWARD_CONNECTIONS) != 0)
        return kp_fail_errno(err, errno, "cannot listen on '%s'", forward->socket);
    forward->watch = kp_watch_create(forward->loop, forward->fd, on_connection, forward);
    if (forward->watch == NULL)
        return kp_fail(err, KP_INTERNAL, "the event loop does not take '%s'", forward->socket);
    listen_on(forward);
    return 0;
}

// ---- the interface ----

static int check_options(const struct kp_forward_options *options, struct kp_error *err)
{
    if (!kp_kube_name_valid(options->namespace) || !kp_kube_name_valid(options->pod))
        return kp_fail(err, KP_INVALID, "the name of a namespace or pod to forward to is not valid");
    if (options->port < 1 || options->port > 65535)
        return kp_fail(err, KP_INVALID, "port %d to forward to is not within 1 and 65535", options->port);
    return 0;
}

int kp_forward_create(struct kp_loop *loop, struct kp_kube *kube, const struct kp_forward_options *options,
    struct kp_forward **ret, struct kp_error *err)
{
    int code = check_options(options, err);
    if (code != 0)
        return code;
    struct kp_forward *forward = KP_NEW(struct kp_forward);
    forward->loop = loop;
    forward->kube = kube;
    forward->fd = -1;
    forward->port = options->port;
    forward->connect_timeout_ms =
        options->connect_timeout_ms > 0 ? options->connect_timeout_ms : DEFAULT_CONNECT_MS;
    forward->ping_ms = options->ping_ms > 0 ? options->ping_ms : DEFAULT_PING_MS;
    forward->path = kp_asprintf("/api/v1/namespaces/%s/pods/%s/portforward?ports=%d", options->namespace,
        options->pod, options->port);
    forward->name = kp_asprintf("port %d of pod '%s/%s'", options->port, options->namespace, options->pod);
    forward->rest = kp_timer_create(loop, on_rested, forward);
    kp_list_init(&forward->conns);
    code = open_socket(forward, options->dir, err);
    if (code != 0) {
        kp_forward_destroy(forward);
        return code;
    }
    *ret = forward;
    return 0;
}

const char *kp_forward_socket(const struct kp_forward *forward)
{
    return forward->socket;
}

void kp_forward_failed(struct kp_forward *forward, const struct kp_error *err)
{
    forward->error = *err;
    if (err->http_status != 403) // the API server names the pod itself, and there is much to say
        kp_wrap(&forward->error, "%s", forward->name);
}

void kp_forward_error(const struct kp_forward *forward, struct kp_error *ret)
{
    *ret = forward->error;
}

void kp_forward_destroy(struct kp_forward *forward)
{
    if (forward == NULL)
        return;
    kp_watch_destroy(kp_take(forward->watch));
    while (kp_forward_conn_first(forward) != NULL)
        kp_forward_conn_end(kp_forward_conn_first(forward));
    if (forward->fd >= 0)
        close(forward->fd);
    if (forward->bound)
        unlink(forward->socket);
    kp_timer_destroy(forward->rest);
    kp_free(forward->socket);
    kp_free(forward->path);
    kp_free(forward->name);
    kp_free(forward);
}
