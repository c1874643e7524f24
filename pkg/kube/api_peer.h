// A scripted API server for the tests beside it: one thread on loopback that answers request after request
// with the next step, on whatever connection it comes. Everything is in this header; only tests include it.
#ifndef KP_KUBE_API_PEER_H
#define KP_KUBE_API_PEER_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"

enum peer_end {
    PEER_WHOLE, // with Content-Length
    PEER_CHUNKED,
    PEER_SLOW, // chunked, with a pause before each chunk
    PEER_CUT,  // chunked, then the connection breaks
    PEER_HOLD, // chunked, then silence with the connection open
    PEER_DROP, // no answer, the connection breaks
};

struct peer_step {
    const char *expect; // must be in the request (line, headers and body)
    int status;
    const char *headers; // "Retry-After: 1\r\n" or NULL
    const char *body;
    size_t len;   // 0 = strlen(body)
    size_t piece; // bytes of one chunk; 0 = all
    enum peer_end end;
};

enum { PEER_CONNECTIONS = 32, PEER_REQUEST = 16384, PEER_SEEN = 64 };

struct peer {
    int listener, port;
    int stop[2];
    pthread_t thread;
    const struct peer_step *steps;
    size_t n_steps;
    int fds[PEER_CONNECTIONS];
    pthread_mutex_t lock; // of what follows
    size_t n_seen;
    char *seen[PEER_SEEN]; // requests as they came
    char failure[512];     // "" = every request was the expected one
};

static inline void peer_write(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        data += n;
        len -= (size_t)n;
    }
}

static inline void peer_chunks(int fd, const struct peer_step *step, size_t len)
{
    size_t piece = step->piece ? step->piece : len;
    for (size_t at = 0; at < len; at += piece) {
        char head[32];
        size_t n = len - at < piece ? len - at : piece;
        if (step->end == PEER_SLOW)
            (void)poll(NULL, 0, 100);
        peer_write(fd, head, (size_t)snprintf(head, sizeof head, "%zx\r\n", n));
        peer_write(fd, step->body + at, n);
        peer_write(fd, "\r\n", 2);
    }
    if (step->end == PEER_CHUNKED || step->end == PEER_SLOW)
        peer_write(fd, "0\r\n\r\n", 5);
}

// Returns whether the connection stays open.
static inline bool peer_answer(int fd, const struct peer_step *step)
{
    char head[1024];
    char length[64];
    size_t len = step->len ? step->len : step->body ? strlen(step->body) : 0;
    if (step->end == PEER_DROP)
        return false;
    snprintf(length, sizeof length, "Content-Length: %zu\r\n", len);
    int n = snprintf(head, sizeof head, "HTTP/1.1 %d X\r\nContent-Type: application/json\r\n%s%s\r\n",
        step->status, step->end == PEER_WHOLE ? length : "Transfer-Encoding: chunked\r\n",
        step->headers ? step->headers : "");
    peer_write(fd, head, (size_t)n);
    if (step->end == PEER_WHOLE)
        peer_write(fd, step->body ? step->body : "", len);
    else
        peer_chunks(fd, step, len);
    return step->end != PEER_CUT;
}

// Reads one request with its body; false when the connection is over.
static inline bool peer_read(int fd, char *request)
{
    size_t len = 0;
    size_t need = 0;
    while (len < PEER_REQUEST - 1) {
        ssize_t n = recv(fd, request + len, PEER_REQUEST - 1 - len, 0);
        if (n <= 0)
            return false;
        len += (size_t)n;
        request[len] = '\0';
        const char *end = strstr(request, "\r\n\r\n");
        if (!end)
            continue;
        const char *length = strcasestr(request, "\r\nContent-Length:");
        need = (size_t)(end + 4 - request) + (length ? strtoul(length + 17, NULL, 10) : 0);
        if (len >= need)
            return true;
    }
    return false;
}

// Returns whether the connection stays open.
static inline bool peer_serve(struct peer *peer, int fd)
{
    char *request = kp_alloc(PEER_REQUEST);
    bool open = peer_read(fd, request);
    const struct peer_step *step = NULL;
    pthread_mutex_lock(&peer->lock);
    if (open && peer->n_seen < PEER_SEEN) {
        if (peer->n_seen < peer->n_steps)
            step = &peer->steps[peer->n_seen];
        if (step && step->expect && !strstr(request, step->expect) && !peer->failure[0])
            snprintf(peer->failure, sizeof peer->failure, "step %zu expected '%s', got '%.300s'",
                peer->n_seen, step->expect, request);
        peer->seen[peer->n_seen++] = kp_strdup(request);
    }
    pthread_mutex_unlock(&peer->lock);
    kp_free(request);
    // past the last step requests are left waiting
    return open && (!step || peer_answer(fd, step));
}

static inline void *peer_run(void *user)
{
    struct peer *peer = user;
    for (;;) {
        struct pollfd polls[PEER_CONNECTIONS + 2] = {{peer->stop[0], POLLIN, 0}, {peer->listener, POLLIN, 0}};
        for (size_t i = 0; i < PEER_CONNECTIONS; i++)
            polls[i + 2] = (struct pollfd){peer->fds[i], POLLIN, 0};
        if (poll(polls, PEER_CONNECTIONS + 2, -1) < 0 || polls[0].revents)
            return NULL;
        for (size_t i = 0; i < PEER_CONNECTIONS; i++) {
            if (polls[i + 2].revents && !peer_serve(peer, peer->fds[i])) {
                close(peer->fds[i]);
                peer->fds[i] = -1;
            }
        }
        if (!polls[1].revents)
            continue;
        int fd = accept(peer->listener, NULL, NULL);
        if (fd >= 0) // head and body are written apart
            (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        size_t i = 0;
        while (i < PEER_CONNECTIONS && peer->fds[i] >= 0)
            i++;
        if (fd >= 0 && i < PEER_CONNECTIONS)
            peer->fds[i] = fd;
        else if (fd >= 0)
            close(fd);
    }
}

static inline struct peer *peer_start(const struct peer_step *steps, size_t n_steps)
{
    struct peer *peer = KP_NEW(struct peer);
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof addr;
    peer->steps = steps;
    peer->n_steps = n_steps;
    for (size_t i = 0; i < PEER_CONNECTIONS; i++)
        peer->fds[i] = -1;
    pthread_mutex_init(&peer->lock, NULL);
    peer->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(peer->listener, (struct sockaddr *)&addr, sizeof addr) < 0 || listen(peer->listener, 64) < 0 ||
        getsockname(peer->listener, (struct sockaddr *)&addr, &len) < 0 || pipe(peer->stop) < 0)
        abort();
    peer->port = ntohs(addr.sin_port);
    if (pthread_create(&peer->thread, NULL, peer_run, peer) != 0)
        abort();
    return peer;
}

static inline size_t peer_seen(struct peer *peer)
{
    pthread_mutex_lock(&peer->lock);
    size_t n = peer->n_seen;
    pthread_mutex_unlock(&peer->lock);
    return n;
}

// Frees the peer; returns the failure (to be freed) or NULL.
static inline char *peer_stop(struct peer *peer)
{
    char *failure = NULL;
    (void)!write(peer->stop[1], "x", 1);
    pthread_join(peer->thread, NULL);
    for (size_t i = 0; i < PEER_CONNECTIONS; i++) {
        if (peer->fds[i] >= 0)
            close(peer->fds[i]);
    }
    for (size_t i = 0; i < peer->n_seen; i++)
        kp_free(peer->seen[i]);
    close(peer->listener);
    close(peer->stop[0]);
    close(peer->stop[1]);
    pthread_mutex_destroy(&peer->lock);
    if (peer->failure[0])
        failure = kp_strdup(peer->failure);
    kp_free(peer);
    return failure;
}

#endif
