#include "testkit/peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/array.h"
#include "testkit/peer_request.h"
#include "base/banned.h"

struct link { // one connection
    struct kp_peer *peer;
    pthread_t thread;
    int fd;
    unsigned number;
    bool done; // closed; the thread only has to be joined
};

struct answer {
    struct kp_step steps[2];
    char *bytes;
};

struct kp_peer {
    int listener, port, stop; // stop: an eventfd, readable once the peer has to end
    char url[40];
    kp_peer_route_fn route;
    void *user;
    const struct kp_step *script;
    pthread_t acceptor;
    pthread_mutex_t lock; // of all below
    pthread_cond_t changed;
    KP_ARRAY(struct link *) links;
    KP_ARRAY(struct kp_peer_message *) requests;
    KP_ARRAY(struct answer *) answers;
    size_t accepted, open, max_open;
};

// ---- waiting ----

// Whether fd is ready before the peer has to stop and before timeout_ms (-1: however long).
static bool wait_for(const struct kp_peer *peer, int fd, short events, int timeout_ms)
{
    struct pollfd fds[] = {{.fd = peer->stop, .events = POLLIN}, {.fd = fd, .events = events}};
    int n;
    do {
        n = poll(fds, fd >= 0 ? 2 : 1, timeout_ms);
    } while (n < 0 && errno == EINTR);
    return n > 0 && fds[0].revents == 0;
}

static bool stopped(const struct kp_peer *peer)
{
    struct pollfd fd = {.fd = peer->stop, .events = POLLIN};
    return poll(&fd, 1, 0) > 0;
}

static struct timespec deadline(int timeout_ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    int64_t ns = t.tv_nsec + (int64_t)timeout_ms * 1000000;
    t.tv_sec += (time_t)(ns / 1000000000);
    t.tv_nsec = (long)(ns % 1000000000);
    return t;
}

// ---- playing a script ----

static bool send_bytes(struct link *link, const char *data, size_t len)
{
    while (len > 0) {
        if (!wait_for(link->peer, link->fd, POLLOUT, -1))
            return false;
        ssize_t n = send(link->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

static bool send_step(struct link *link, const struct kp_step *step)
{
    size_t total = step->total != 0 ? step->total : step->len;
    size_t piece = step->piece != 0 ? step->piece : step->len;
    size_t done = 0;
    while (done < total) {
        size_t at = done % step->len;
        size_t n = step->len - at < piece ? step->len - at : piece;
        if (n > total - done)
            n = total - done;
        if (!send_bytes(link, (const char *)step->data + at, n))
            return false;
        done += n;
        if (step->piece != 0 && done < total)
            wait_for(link->peer, -1, 0, 1);
    }
    return true;
}

static void hang(struct link *link)
{
    char drop[4096];
    while (wait_for(link->peer, link->fd, POLLIN, -1)) {
        ssize_t n = recv(link->fd, drop, sizeof drop, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
            return;
    }
}

static void reset(struct link *link)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    setsockopt(link->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

// Whether the connection goes on afterwards.
static bool play(struct link *link, const struct kp_step *step)
{
    for (; step != NULL && !stopped(link->peer); step++) {
        switch (step->kind) {
        case KP_STEP_DONE:
            return true;
        case KP_STEP_SEND:
            if (!send_step(link, step))
                return false;
            break;
        case KP_STEP_WAIT:
            wait_for(link->peer, -1, 0, step->ms);
            break;
        case KP_STEP_HANGS:
            hang(link);
            return false;
        case KP_STEP_RESETS:
            reset(link);
            return false;
        case KP_STEP_CLOSES:
            return false;
        }
    }
    return false;
}

// ---- connections ----

static bool fill(void *user, char *out, size_t size, size_t *ret_n)
{
    struct link *link = user;
    for (;;) {
        if (!wait_for(link->peer, link->fd, POLLIN, -1))
            return false;
        ssize_t n = recv(link->fd, out, size, MSG_DONTWAIT);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        *ret_n = n > 0 ? (size_t)n : 0;
        return n > 0;
    }
}

static bool go_on(void *user)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    return send_bytes(user, text, sizeof text - 1);
}

static const struct kp_peer_request *note(struct kp_peer *peer, struct kp_peer_message *message)
{
    pthread_mutex_lock(&peer->lock);
    *kp_array_add(&peer->requests) = message;
    pthread_cond_broadcast(&peer->changed);
    pthread_mutex_unlock(&peer->lock);
    return &message->request;
}

static void converse(struct link *link)
{
    struct kp_peer *peer = link->peer;
    struct kp_peer_input input = {.fill = fill, .go_on = go_on, .user = link};
    struct kp_peer_message *message;
    while ((message = kp_peer_message_read(&input)) != NULL) {
        message->request.connection = link->number;
        const struct kp_peer_request *request = note(peer, message);
        const struct kp_step *script =
            peer->route != NULL ? peer->route(peer->user, peer, request) : peer->script;
        if (!play(link, script))
            break;
    }
    kp_peer_input_finish(&input);
}

static void *run_link(void *user)
{
    struct link *link = user;
    struct kp_peer *peer = link->peer;
    converse(link);
    close(link->fd);
    pthread_mutex_lock(&peer->lock);
    link->done = true;
    peer->open--;
    pthread_cond_broadcast(&peer->changed);
    pthread_mutex_unlock(&peer->lock);
    return NULL;
}

// Joins threads that are through, so that a long test does not collect their stacks. The lock is not held.
static void reap(struct kp_peer *peer, bool all)
{
    KP_ARRAY(struct link *) gone = {0};
    pthread_mutex_lock(&peer->lock);
    size_t kept = 0;
    for (size_t i = 0; i < peer->links.n; i++) {
        struct link *link = peer->links.items[i];
        if (all || link->done)
            *kp_array_add(&gone) = link;
        else
            peer->links.items[kept++] = link;
    }
    peer->links.n = kept;
    pthread_mutex_unlock(&peer->lock);
    for (size_t i = 0; i < gone.n; i++) {
        pthread_join(gone.items[i]->thread, NULL);
        kp_free(gone.items[i]);
    }
    kp_array_free(&gone);
}

static void take_connection(struct kp_peer *peer, int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    pthread_mutex_lock(&peer->lock);
    struct link *link = KP_NEW(struct link);
    *link = (struct link){.peer = peer, .fd = fd, .number = (unsigned)peer->accepted};
    // the lock is held over the start so that a link in the list always has its thread
    if (peer->open >= KP_PEER_CONNECTIONS || pthread_create(&link->thread, NULL, run_link, link) != 0) {
        close(fd);
        kp_free(link);
    } else {
        *kp_array_add(&peer->links) = link;
        peer->accepted++;
        peer->open++;
        if (peer->open > peer->max_open)
            peer->max_open = peer->open;
        pthread_cond_broadcast(&peer->changed);
    }
    pthread_mutex_unlock(&peer->lock);
}

static void *run_acceptor(void *user)
{
    struct kp_peer *peer = user;
    while (wait_for(peer, peer->listener, POLLIN, -1)) {
        int fd = accept4(peer->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            continue;
        reap(peer, false);
        take_connection(peer, fd);
    }
    return NULL;
}

// ---- start and stop ----

static int listen_loopback(int *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 1024) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) != 0)
        fail_msg("cannot listen on 127.0.0.1: %s", strerror(errno));
    *ret_port = ntohs(address.sin_port);
    return fd;
}

// Bound and not listened on: connections are refused, and no other process is given the port.
int kp_test_closed_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int on = 1; // so that the test may listen there later
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) != 0)
        fail_msg("cannot bind to 127.0.0.1: %s", strerror(errno));
    return ntohs(address.sin_port);
}

static struct kp_peer *start(kp_peer_route_fn route, void *user, const struct kp_step *script)
{
    struct kp_peer *peer = KP_NEW(struct kp_peer);
    peer->listener = listen_loopback(&peer->port);
    peer->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    snprintf(peer->url, sizeof peer->url, "http://127.0.0.1:%d", peer->port);
    peer->route = route;
    peer->user = user;
    peer->script = script;
    pthread_mutex_init(&peer->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&peer->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (peer->stop < 0 || pthread_create(&peer->acceptor, NULL, run_acceptor, peer) != 0)
        fail_msg("cannot start a peer: %s", strerror(errno));
    return peer;
}

struct kp_peer *kp_peer_start(kp_peer_route_fn route, void *user)
{
    return start(route, user, NULL);
}

struct kp_peer *kp_peer_start_script(const struct kp_step *script)
{
    return start(NULL, NULL, script);
}

void kp_peer_stop(struct kp_peer *peer)
{
    if (peer == NULL)
        return;
    eventfd_write(peer->stop, 1);
    pthread_join(peer->acceptor, NULL);
    reap(peer, true);
    for (size_t i = 0; i < peer->requests.n; i++)
        kp_peer_message_destroy(peer->requests.items[i]);
    for (size_t i = 0; i < peer->answers.n; i++) {
        kp_free(peer->answers.items[i]->bytes);
        kp_free(peer->answers.items[i]);
    }
    kp_array_free(&peer->links);
    kp_array_free(&peer->requests);
    kp_array_free(&peer->answers);
    close(peer->listener);
    close(peer->stop);
    pthread_cond_destroy(&peer->changed);
    pthread_mutex_destroy(&peer->lock);
    kp_free(peer);
}

// ---- answers ----

const struct kp_step *kp_peer_answer_with(struct kp_peer *peer, int status, const char *extra,
    const char *content_type, const void *body, size_t len)
{
    struct answer *answer = KP_NEW(struct answer);
    char *head = kp_asprintf("HTTP/1.1 %d Status\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s\r\n",
        status, content_type, len, extra != NULL ? extra : "");
    size_t head_len = strlen(head);
    answer->bytes = kp_realloc(head, head_len + len + 1);
    if (len > 0)
        memcpy(answer->bytes + head_len, body, len);
    answer->steps[0] = (struct kp_step)KP_STEP_BYTES(answer->bytes, head_len + len);
    pthread_mutex_lock(&peer->lock);
    *kp_array_add(&peer->answers) = answer;
    pthread_mutex_unlock(&peer->lock);
    return answer->steps;
}

const struct kp_step *kp_peer_answer(
    struct kp_peer *peer, int status, const char *content_type, const void *body, size_t len)
{
    return kp_peer_answer_with(peer, status, NULL, content_type, body, len);
}

// ---- what was seen ----

int kp_peer_port(const struct kp_peer *peer)
{
    return peer->port;
}

const char *kp_peer_url(const struct kp_peer *peer)
{
    return peer->url;
}

size_t kp_peer_requests(struct kp_peer *peer)
{
    pthread_mutex_lock(&peer->lock);
    size_t n = peer->requests.n;
    pthread_mutex_unlock(&peer->lock);
    return n;
}

const struct kp_peer_request *kp_peer_request(struct kp_peer *peer, size_t i)
{
    pthread_mutex_lock(&peer->lock);
    size_t n = peer->requests.n;
    const struct kp_peer_request *request = i < n ? &peer->requests.items[i]->request : NULL;
    pthread_mutex_unlock(&peer->lock);
    if (request == NULL)
        fail_msg("request %zu was asked for, but the peer saw %zu", i, n);
    return request;
}

bool kp_peer_wait_requests(struct kp_peer *peer, size_t n, int timeout_ms)
{
    struct timespec until = deadline(timeout_ms);
    pthread_mutex_lock(&peer->lock);
    while (peer->requests.n < n && pthread_cond_timedwait(&peer->changed, &peer->lock, &until) == 0)
        continue;
    bool there = peer->requests.n >= n;
    pthread_mutex_unlock(&peer->lock);
    return there;
}

bool kp_peer_wait_closed(struct kp_peer *peer, int timeout_ms)
{
    struct timespec until = deadline(timeout_ms);
    pthread_mutex_lock(&peer->lock);
    while (peer->open > 0 && pthread_cond_timedwait(&peer->changed, &peer->lock, &until) == 0)
        continue;
    bool closed = peer->open == 0;
    pthread_mutex_unlock(&peer->lock);
    return closed;
}

size_t kp_peer_connections(struct kp_peer *peer)
{
    pthread_mutex_lock(&peer->lock);
    size_t n = peer->accepted;
    pthread_mutex_unlock(&peer->lock);
    return n;
}

size_t kp_peer_max_open(struct kp_peer *peer)
{
    pthread_mutex_lock(&peer->lock);
    size_t n = peer->max_open;
    pthread_mutex_unlock(&peer->lock);
    return n;
}
