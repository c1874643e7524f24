// A scripted API server that speaks WebSocket, for the tests beside it: a thread for the listener and one for
// each connection, plain or TLS. Only tests include it.
#ifndef KP_FORWARD_SERVER_FIXTURE_H
#define KP_FORWARD_SERVER_FIXTURE_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
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
#include "forward/frame.h"

enum { SERVER_CONNECTIONS = 16, HEAD_BYTES = 16384, FRAME_BYTES = 65536 };

// ---- the server ----

struct server;

struct side { // one connection of the server's, used by its thread alone
    struct server *server;
    int fd, number; // the how-manieth
    SSL *ssl;
    char head[HEAD_BYTES];
    pthread_t thread;
};

struct server {
    int listener, port;
    SSL_CTX *tls;
    void (*serve)(struct side *side);
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct side *sides[SERVER_CONNECTIONS];
    int n_sides;
    bool stopping;
    // what scripts tell the tests, under the lock
    char seen[HEAD_BYTES];
    long count;
    int stage;
};

static inline void server_stage(struct server *server, int stage)
{
    pthread_mutex_lock(&server->lock);
    if (stage > server->stage)
        server->stage = stage;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
}

static inline void server_wait_stage(struct server *server, int stage)
{
    pthread_mutex_lock(&server->lock);
    while (server->stage < stage && !server->stopping)
        pthread_cond_wait(&server->changed, &server->lock);
    pthread_mutex_unlock(&server->lock);
}

static inline void server_note(struct server *server, const char *text)
{
    pthread_mutex_lock(&server->lock);
    snprintf(server->seen, sizeof server->seen, "%s", text);
    pthread_mutex_unlock(&server->lock);
}

static inline bool side_write(struct side *side, const void *bytes, size_t len)
{
    const uint8_t *at = bytes;
    while (len > 0) {
        ssize_t n = side->ssl != NULL ? SSL_write(side->ssl, at, (int)(len < 1 << 20 ? len : 1 << 20))
                                      : send(side->fd, at, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

static inline ssize_t side_read_some(struct side *side, void *buf, size_t size)
{
    return side->ssl != NULL ? SSL_read(side->ssl, buf, (int)size) : recv(side->fd, buf, size, 0);
}

static inline bool side_read(struct side *side, void *buf, size_t len)
{
    uint8_t *at = buf;
    while (len > 0) {
        ssize_t n = side_read_some(side, at, len);
        if (n <= 0)
            return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

// The request up to its empty line; "" when the connection ends before.
static inline const char *side_head(struct side *side)
{
    size_t n = 0;
    while (n < sizeof side->head - 1 && side_read(side, side->head + n, 1)) {
        side->head[++n] = '\0';
        if (n >= 4 && memcmp(side->head + n - 4, "\r\n\r\n", 4) == 0)
            return side->head;
    }
    side->head[0] = '\0';
    return side->head;
}

static inline void side_printf(struct side *side, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static inline void side_printf(struct side *side, const char *fmt, ...)
{
    char text[4096];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    side_write(side, text, (size_t)n);
}

static inline void accept_of(const char *head, char out[32])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    char joined[128];
    const char *key = strcasestr(head, "\r\nSec-WebSocket-Key: ");
    if (key == NULL)
        abort();
    key += strlen("\r\nSec-WebSocket-Key: ");
    int n = snprintf(
        joined, sizeof joined, "%.*s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", (int)strcspn(key, "\r"), key);
    EVP_Digest(joined, (size_t)n, digest, NULL, EVP_sha1(), NULL);
    EVP_EncodeBlock((unsigned char *)out, digest, 20);
}

static inline void side_frame(struct side *side, enum kp_opcode opcode, const void *payload, size_t len)
{
    static const uint8_t none[4];
    uint8_t head[KP_FRAME_MAX_HEAD];
    size_t n = kp_frame_head(opcode, len, none, head) - 4; // a server does not mask
    head[1] &= 0x7f;
    if (side_write(side, head, n))
        side_write(side, payload, len);
}

static inline void side_message(struct side *side, int channel, const void *bytes, size_t len)
{
    uint8_t *message = kp_alloc(len + 1);
    message[0] = (uint8_t)channel;
    memcpy(message + 1, bytes, len);
    side_frame(side, KP_OP_BINARY, message, len + 1);
    kp_free(message);
}

// The handshake, and the port on both channels.
static inline bool side_open(struct side *side)
{
    char accept[32];
    if (side_head(side)[0] == '\0')
        return false;
    accept_of(side->head, accept);
    side_printf(side,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: v4.channel.k8s.io\r\n\r\n",
        accept);
    side_message(side, 0, "\xac\x17", 2); // 6060
    side_message(side, 1, "\xac\x17", 2);
    return true;
}

static inline void side_close(struct side *side, unsigned code)
{
    uint8_t payload[2] = {(uint8_t)(code >> 8), (uint8_t)code};
    side_frame(side, KP_OP_CLOSE, payload, 2);
}

// A frame of the client's, unmasked; -1 when the connection is over, -2 for one that is not masked.
static inline int side_receive(struct side *side, uint8_t *payload, size_t *ret_len)
{
    uint8_t head[2], more[8], mask[4];
    if (!side_read(side, head, 2))
        return -1;
    size_t len = head[1] & 0x7f;
    size_t extra = len == 126 ? 2 : len == 127 ? 8 : 0;
    if (!side_read(side, more, extra))
        return -1;
    for (size_t i = 0; i < extra; i++)
        len = i == 0 ? more[0] : len << 8 | more[i];
    if ((head[1] & 0x80) == 0 || len > FRAME_BYTES)
        return -2;
    if (!side_read(side, mask, 4) || !side_read(side, payload, len))
        return -1;
    kp_frame_mask(payload, len, mask);
    *ret_len = len;
    return head[0] & 0x0f;
}

static inline void *side_thread(void *user)
{
    struct side *side = user;
    struct server *server = side->server;
    if (server->tls != NULL) {
        side->ssl = SSL_new(server->tls);
        SSL_set_fd(side->ssl, side->fd);
    }
    if (side->ssl == NULL || SSL_accept(side->ssl) == 1)
        server->serve(side);
    SSL_free(side->ssl);
    shutdown(side->fd, SHUT_RDWR); // closed when the server stops: its number must not be used again before
    return NULL;
}

static inline void *server_thread(void *user)
{
    struct server *server = user;
    for (;;) {
        int fd = accept(server->listener, NULL, NULL);
        pthread_mutex_lock(&server->lock);
        bool over = fd < 0 || server->stopping || server->n_sides == SERVER_CONNECTIONS;
        if (!over) {
            struct side *side = KP_NEW(struct side);
            side->server = server;
            side->fd = fd;
            side->number = server->n_sides;
            server->sides[server->n_sides++] = side;
            pthread_create(&side->thread, NULL, side_thread, side);
        }
        pthread_mutex_unlock(&server->lock);
        if (over) {
            if (fd >= 0)
                close(fd);
            return NULL;
        }
    }
}

// tls: NULL = plain; the server owns it then.
static inline struct server *server_start(void (*serve)(struct side *side), SSL_CTX *tls)
{
    struct server *server = KP_NEW(struct server);
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof addr;
    server->serve = serve;
    server->tls = tls;
    pthread_mutex_init(&server->lock, NULL);
    pthread_cond_init(&server->changed, NULL);
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(server->listener, (struct sockaddr *)&addr, sizeof addr) != 0 ||
        listen(server->listener, 64) != 0 ||
        getsockname(server->listener, (struct sockaddr *)&addr, &len) != 0)
        abort();
    server->port = ntohs(addr.sin_port);
    pthread_create(&server->thread, NULL, server_thread, server);
    return server;
}

static inline void server_stop(struct server *server)
{
    pthread_mutex_lock(&server->lock);
    server->stopping = true;
    for (int i = 0; i < server->n_sides; i++)
        shutdown(server->sides[i]->fd, SHUT_RDWR);
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
    shutdown(server->listener, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    for (int i = 0; i < server->n_sides; i++) {
        pthread_join(server->sides[i]->thread, NULL);
        close(server->sides[i]->fd);
        kp_free(server->sides[i]);
    }
    close(server->listener);
    SSL_CTX_free(server->tls);
    pthread_cond_destroy(&server->changed);
    pthread_mutex_destroy(&server->lock);
    kp_free(server);
}

// ---- TLS ----

static inline X509 *pem_cert(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    return cert;
}

// client_ca: clients need a certificate by it; NULL = none is asked for.
static inline SSL_CTX *server_tls(const char *cert_pem, const char *key_pem, const char *client_ca)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    BIO *bio = BIO_new_mem_buf(key_pem, -1);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    X509 *cert = pem_cert(cert_pem);
    BIO_free(bio);
    if (SSL_CTX_use_certificate(tls, cert) != 1 || SSL_CTX_use_PrivateKey(tls, key) != 1)
        abort();
    X509_free(cert);
    EVP_PKEY_free(key);
    if (client_ca != NULL) {
        X509 *ca = pem_cert(client_ca);
        X509_STORE_add_cert(SSL_CTX_get_cert_store(tls), ca);
        X509_free(ca);
        SSL_CTX_set_verify(tls, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    }
    return tls;
}

#endif
