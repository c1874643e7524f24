// Where we accept. The sockets are ours, not lws's: so a refused address gets a sentence, and accepting can
// be stopped when there are too many connections, when descriptors run out, and when the server drains.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/text.h"
#include "http/private.h"
#include "base/banned.h"

#define BACKLOG          512
#define ACCEPTS_PER_TURN 64

struct kp_listen_socket {
    uv_poll_t poll; // first: freed by its address
    struct kp_listener *listener;
    int fd;
};

// ---- addresses ----

union address {
    struct sockaddr any;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
    struct sockaddr_un local;
};

static int bad_address(const char *text, struct kp_error *err)
{
    return kp_fail(err, KP_INVALID,
        "'%s' is not an address to listen on: use IP:PORT, [IPv6]:PORT, :PORT or unix:/PATH", text);
}

static bool have_six(void)
{
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static int parse_host(const char *host, uint16_t port, union address *ret, socklen_t *ret_size)
{
    memset(ret, 0, sizeof *ret);
    if (host[0] == '\0' && have_six()) {
        ret->six = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
        *ret_size = sizeof ret->six;
        return 0;
    }
    if (inet_pton(AF_INET6, host, &ret->six.sin6_addr) == 1) {
        ret->six.sin6_family = AF_INET6;
        ret->six.sin6_port = htons(port);
        *ret_size = sizeof ret->six;
        return 0;
    }
    const char *four = host[0] == '\0' ? "0.0.0.0" : strcmp(host, "localhost") == 0 ? "127.0.0.1" : host;
    if (inet_pton(AF_INET, four, &ret->four.sin_addr) != 1)
        return -1;
    ret->four.sin_family = AF_INET;
    ret->four.sin_port = htons(port);
    *ret_size = sizeof ret->four;
    return 0;
}

static int parse_address(const char *text, union address *ret, socklen_t *ret_size, struct kp_error *err)
{
    const char *colon = strrchr(text, ':');
    char host[64];
    int64_t port;
    if (kp_starts_with(text, "unix:")) {
        *ret = (union address){.local = {.sun_family = AF_UNIX}};
        *ret_size = sizeof ret->local;
        if (text[5] != '/' || !kp_copy(ret->local.sun_path, sizeof ret->local.sun_path, text + 5))
            return bad_address(text, err);
        return 0;
    }
    if (colon == NULL || (size_t)(colon - text) >= sizeof host ||
        kp_parse_int(colon + 1, 0, 65535, &port, NULL) != 0)
        return bad_address(text, err);
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    size_t n = strlen(host);
    if (n > 2 && host[0] == '[' && host[n - 1] == ']') {
        memmove(host, host + 1, n - 2);
        host[n - 2] = '\0';
    }
    return parse_host(host, (uint16_t)port, ret, ret_size) == 0 ? 0 : bad_address(text, err);
}

// ---- sockets ----

// A socket file nobody listens on any more is left over from a process that was killed.
static void remove_stale(const union address *address)
{
    struct stat info;
    if (lstat(address->local.sun_path, &info) != 0 || !S_ISSOCK(info.st_mode))
        return;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (connect(fd, &address->any, sizeof address->local) != 0 && errno == ECONNREFUSED)
        unlink(address->local.sun_path);
    close(fd);
}

static int open_socket(
    const char *text, const union address *address, socklen_t size, int *ret_fd, struct kp_error *err)
{
    static const int on = 1, off = 0;
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return kp_fail_errno(err, errno, "cannot listen on '%s'", text);
    if (address->any.sa_family == AF_UNIX)
        remove_stale(address);
    else
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (address->any.sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(fd, &address->any, size) != 0 || listen(fd, BACKLOG) != 0) {
        int code = kp_fail_errno(err, errno, "cannot listen on '%s'", text);
        close(fd);
        return code;
    }
    *ret_fd = fd;
    return 0;
}

static int port_of(int fd)
{
    union address address;
    socklen_t size = sizeof address;
    if (getsockname(fd, &address.any, &size) != 0 || address.any.sa_family == AF_UNIX)
        return 0;
    return ntohs(address.any.sa_family == AF_INET6 ? address.six.sin6_port : address.four.sin_port);
}

// ---- accepting ----

static void on_poll(uv_poll_t *poll, int status, int events);

static void pause_accepting(struct kp_http_server *server)
{
    server->accept_paused = true;
    kp_list_foreach (node, &server->listeners) {
        struct kp_listener *listener = kp_container_of(node, struct kp_listener, node);
        if (listener->socket != NULL)
            uv_poll_stop(&listener->socket->poll);
    }
}

void kp_listener_accept_again(struct kp_http_server *server)
{
    if (!server->accept_paused || server->n_conns >= server->options.max_connections)
        return;
    server->accept_paused = false;
    kp_list_foreach (node, &server->listeners) {
        struct kp_listener *listener = kp_container_of(node, struct kp_listener, node);
        if (listener->socket != NULL)
            uv_poll_start(&listener->socket->poll, UV_READABLE, on_poll);
    }
}

static void adopt(struct kp_listener *listener, int fd)
{
    static const int on = 1;
    lws_sock_file_fd_type handle = {.sockfd = fd};
    int type = LWS_ADOPT_SOCKET | (listener->cert_file != NULL ? LWS_ADOPT_ALLOW_SSL : 0);
    if (listener->unix_path == NULL)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    // on failure lws has closed the socket
    if (lws_adopt_descriptor_vhost(
            listener->vhost, (lws_adoption_type)type, handle, listener->protocols[0].name, NULL) == NULL)
        kp_metric_inc(listener->server->refused);
}

// One address has at most half of the connections, so that it does not keep everybody else out.
static bool has_half(const struct kp_http_server *server, const struct sockaddr *peer)
{
    char name[KP_HTTP_PEER] = "";
    size_t n = 0;
    (void)kp_peer_read(name, peer);
    if (peer->sa_family == AF_UNIX)
        return false;
    kp_list_foreach (node, &server->conns)
        n += kp_streq(kp_container_of(node, struct kp_conn, node)->peer, name);
    return n >= (server->options.max_connections + 1) / 2;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct sockaddr_storage peer;
    struct kp_listener *listener = ((struct kp_listen_socket *)poll)->listener;
    struct kp_http_server *server = listener->server;
    int listen_fd = ((struct kp_listen_socket *)poll)->fd;
    (void)status;
    (void)events;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        if (server->n_conns >= server->options.max_connections) {
            pause_accepting(server);
            return;
        }
        socklen_t size = sizeof peer;
        peer.ss_family = AF_UNIX;
        int fd = accept4(listen_fd, (struct sockaddr *)&peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0 && has_half(server, (struct sockaddr *)&peer)) {
            kp_metric_inc(server->refused);
            close(fd);
        } else if (fd >= 0)
            adopt(listener, fd);
        else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            pause_accepting(server); // until the next tick
            return;
        } else if (errno != ECONNABORTED && errno != EINTR)
            return;
    }
}

static int start_accepting(struct kp_listener *listener, int fd)
{
    struct kp_listen_socket *watched = KP_NEW(struct kp_listen_socket);
    watched->listener = listener;
    watched->fd = fd;
    if (uv_poll_init(kp_loop_uv(listener->server->loop), &watched->poll, fd) != 0) {
        kp_free(watched);
        return -1;
    }
    uv_poll_start(&watched->poll, UV_READABLE, on_poll);
    listener->socket = watched;
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    kp_free(handle);
}

void kp_listener_stop(struct kp_listener *listener)
{
    struct kp_listen_socket *watched = kp_take(listener->socket);
    if (watched == NULL)
        return;
    uv_poll_stop(&watched->poll);
    uv_close((uv_handle_t *)&watched->poll, on_closed);
    close(watched->fd);
    if (listener->unix_path != NULL)
        unlink(listener->unix_path);
}

// ---- life ----

static int make_vhost(struct kp_listener *listener, struct kp_error *err)
{
    struct lws_context_creation_info info = {0};
    listener->name = kp_asprintf("listener-%p", (void *)listener);
    listener->protocols[0] = (struct lws_protocols){
        .name = "kp-http", .callback = kp_conn_on_lws, .per_session_data_size = sizeof(void *)};
    info.port = CONTEXT_PORT_NO_LISTEN_SERVER;
    info.vhost_name = listener->name;
    info.protocols = listener->protocols;
    info.user = listener;
    if (listener->cert_file != NULL) {
        info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
        info.ssl_cert_filepath = listener->cert_file;
        info.ssl_private_key_filepath = listener->key_file;
        info.alpn = "http/1.1";
    }
    listener->vhost = lws_create_vhost(listener->server->lws, &info);
    if (listener->vhost == NULL)
        return kp_fail(err, KP_INTERNAL, "libwebsockets does not take the listener");
    return 0;
}

static struct kp_listener *listener_create(struct kp_http_server *server, const union address *address)
{
    struct kp_listener *listener = KP_NEW(struct kp_listener);
    kp_list_init(&listener->node);
    listener->server = server;
    if (address->any.sa_family == AF_UNIX)
        listener->unix_path = kp_strdup(address->local.sun_path);
    return listener;
}

int kp_listener_open(struct kp_http_server *server, const struct kp_http_listener *options,
    struct kp_listener **ret, struct kp_error *err)
{
    union address address;
    socklen_t size;
    int fd = -1;
    int code = parse_address(options->address, &address, &size, err);
    if (code != 0)
        return code;
    struct kp_listener *listener = listener_create(server, &address);
    listener->word_error = options->word_error;
    code = kp_http_tls_open(listener, options, err);
    if (code == 0)
        code = open_socket(options->address, &address, size, &fd, err);
    if (code == 0)
        code = make_vhost(listener, err);
    if (code == 0 && start_accepting(listener, fd) != 0)
        code = kp_fail(err, KP_INTERNAL, "cannot watch the socket of '%s'", options->address);
    if (code != 0) {
        if (fd >= 0)
            close(fd);
        if (listener->vhost != NULL)
            lws_vhost_destroy(listener->vhost);
        kp_listener_free(listener);
        return code;
    }
    listener->port = port_of(fd);
    *ret = listener;
    return 0;
}

void kp_listener_free(struct kp_listener *listener)
{
    kp_list_remove(&listener->node);
    kp_http_tls_finish(listener);
    kp_free(listener->unix_path);
    kp_free(listener->name);
    kp_free(listener);
}
