#include "testkit/relay.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/banned.h"

enum { LOOK_MS = 20, HEAD = 4096 };

struct connection {
    struct kp_relay *relay;
    pthread_t thread;
    int client, server;
    SSL *ssl; // NULL = plain
    char note[HEAD];
};

struct kp_relay {
    struct kp_relay_options options;
    char *refusal;
    int listener, port;
    pthread_t thread;
    atomic_bool stop;
    SSL_CTX *tls;
    struct connection connections[KP_RELAY_CONNECTIONS];
    size_t n;
    pthread_mutex_t lock; // of what follows
    const struct connection *notes[KP_RELAY_CONNECTIONS];
    size_t n_notes;
};

// ---- bytes ----

static ssize_t take(struct connection *c, void *data, size_t len)
{
    return c->ssl ? SSL_read(c->ssl, data, (int)len) : recv(c->client, data, len, 0);
}

static bool give(struct connection *c, const void *data, size_t len)
{
    const char *p = data;
    while (len > 0) {
        ssize_t n = c->ssl ? SSL_write(c->ssl, p, (int)len) : send(c->client, p, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        p += n;
        len -= (size_t)n;
    }
    return true;
}

static bool pass_on(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

static void relay_bytes(struct connection *c)
{
    char data[16384];
    while (!c->relay->stop) {
        bool pending = c->ssl && SSL_pending(c->ssl) > 0;
        struct pollfd fds[] = {{c->client, POLLIN, 0}, {c->server, POLLIN, 0}};
        poll(fds, 2, pending ? 0 : LOOK_MS);
        if (pending || fds[0].revents) {
            ssize_t n = take(c, data, sizeof data);
            if (n <= 0 || !pass_on(c->server, data, (size_t)n))
                return;
        }
        if (fds[1].revents) {
            ssize_t n = recv(c->server, data, sizeof data, 0);
            if (n <= 0 || !give(c, data, (size_t)n))
                return;
        }
    }
}

// ---- the beginning of a connection ----

static void note(struct connection *c)
{
    pthread_mutex_lock(&c->relay->lock);
    c->relay->notes[c->relay->n_notes++] = c;
    pthread_mutex_unlock(&c->relay->lock);
}

static bool begin_tls(struct connection *c)
{
    c->ssl = SSL_new(c->relay->tls);
    SSL_set_fd(c->ssl, c->client);
    if (SSL_accept(c->ssl) != 1)
        return false;
    char name[64] = "-";
    const char *sni = SSL_get_servername(c->ssl, TLSEXT_NAMETYPE_host_name);
    X509 *cert = SSL_get1_peer_certificate(c->ssl);
    if (cert)
        X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, name, sizeof name);
    X509_free(cert);
    snprintf(c->note, sizeof c->note, "%s/%s", sni ? sni : "-", name);
    return true;
}

static bool begin_connect(struct connection *c)
{
    size_t len = 0;
    while (!strstr(c->note, "\r\n\r\n")) {
        ssize_t n = len < HEAD - 1 ? recv(c->client, c->note + len, HEAD - 1 - len, 0) : 0;
        if (n <= 0)
            return false;
        len += (size_t)n;
        c->note[len] = '\0';
    }
    const char *answer = c->relay->refusal ? c->relay->refusal : "HTTP/1.1 200 Fine\r\nX-Proxy: yes\r\n\r\n";
    return give(c, answer, strlen(answer)) && !c->relay->refusal;
}

static bool take_all(struct connection *c, unsigned char *data, size_t len)
{
    return recv(c->client, data, len, MSG_WAITALL) == (ssize_t)len;
}

static bool begin_socks(struct connection *c)
{
    unsigned char in[260];
    if (!take_all(c, in, 2) || in[0] != 5 || !take_all(c, in + 2, in[1]) || !give(c, "\x05\x00", 2))
        return false;
    if (!take_all(c, in, 5) || in[1] != 1 || in[3] != 3)
        return false; // neither a connect, nor a name
    size_t len = in[4];
    if (!take_all(c, in, len + 2))
        return false;
    snprintf(c->note, sizeof c->note, "%.*s:%d", (int)len, (const char *)in, in[len] << 8 | in[len + 1]);
    return give(c, "\x05\x00\x00\x01\x7F\x00\x00\x01\x00\x00", 10);
}

static void *run_connection(void *user)
{
    struct connection *c = user;
    static bool (*const begins[])(struct connection *) = {
        [KP_RELAY_TLS] = begin_tls, [KP_RELAY_CONNECT] = begin_connect, [KP_RELAY_SOCKS5] = begin_socks};
    struct sockaddr_in to = {.sin_family = AF_INET,
        .sin_port = htons((uint16_t)c->relay->options.to_port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    c->server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool begun = begins[c->relay->options.kind](c);
    if (*c->note)
        note(c);
    if (begun && connect(c->server, (struct sockaddr *)&to, sizeof to) == 0)
        relay_bytes(c);
    SSL_free(c->ssl);
    close(c->client);
    close(c->server);
    return NULL;
}

static void *run(void *user)
{
    struct kp_relay *relay = user;
    while (!relay->stop) {
        struct pollfd fd = {relay->listener, POLLIN, 0};
        if (poll(&fd, 1, LOOK_MS) <= 0)
            continue;
        int client = accept4(relay->listener, NULL, NULL, SOCK_CLOEXEC);
        if (client < 0)
            continue;
        // a client that says nothing must not keep the end from coming
        struct timeval limit = {.tv_sec = 5};
        setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        if (relay->n == KP_RELAY_CONNECTIONS) {
            close(client);
            continue;
        }
        struct connection *c = &relay->connections[relay->n];
        *c = (struct connection){.relay = relay, .client = client};
        if (pthread_create(&c->thread, NULL, run_connection, c) != 0)
            close(client);
        else
            relay->n++;
    }
    return NULL;
}

// ---- start and stop ----

static SSL_CTX *make_tls(const struct kp_relay_options *options)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    BIO *cert_text = BIO_new_mem_buf(options->cert->cert, -1);
    BIO *key_text = BIO_new_mem_buf(options->cert->key, -1);
    X509 *cert = PEM_read_bio_X509(cert_text, NULL, NULL, NULL);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(key_text, NULL, NULL, NULL);
    assert_int_equal(SSL_CTX_use_certificate(ctx, cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ctx, 0);
    if (options->client_ca) {
        BIO *ca_text = BIO_new_mem_buf(options->client_ca->cert, -1);
        X509 *ca = PEM_read_bio_X509(ca_text, NULL, NULL, NULL);
        assert_int_equal(X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), ca), 1);
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        X509_free(ca);
        BIO_free(ca_text);
    }
    X509_free(cert);
    EVP_PKEY_free(key);
    BIO_free(cert_text);
    BIO_free(key_text);
    return ctx;
}

struct kp_relay *kp_relay_start(const struct kp_relay_options *options)
{
    struct kp_relay *relay = KP_NEW(struct kp_relay);
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof addr;
    relay->options = *options;
    pthread_mutex_init(&relay->lock, NULL);
    relay->refusal = kp_strdup(options->refusal);
    if (options->kind == KP_RELAY_TLS)
        relay->tls = make_tls(options);
    relay->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(relay->listener, (struct sockaddr *)&addr, sizeof addr), 0);
    assert_int_equal(listen(relay->listener, 64), 0);
    assert_int_equal(getsockname(relay->listener, (struct sockaddr *)&addr, &len), 0);
    relay->port = ntohs(addr.sin_port);
    assert_int_equal(pthread_create(&relay->thread, NULL, run, relay), 0);
    return relay;
}

void kp_relay_stop(struct kp_relay *relay)
{
    relay->stop = true;
    pthread_join(relay->thread, NULL);
    for (size_t i = 0; i < relay->n; i++)
        pthread_join(relay->connections[i].thread, NULL);
    close(relay->listener);
    pthread_mutex_destroy(&relay->lock);
    SSL_CTX_free(relay->tls);
    kp_free(relay->refusal);
    kp_free(relay);
}

int kp_relay_port(const struct kp_relay *relay)
{
    return relay->port;
}

size_t kp_relay_connections(struct kp_relay *relay)
{
    pthread_mutex_lock(&relay->lock);
    size_t n = relay->n_notes;
    pthread_mutex_unlock(&relay->lock);
    return n;
}

const char *kp_relay_note(struct kp_relay *relay, size_t i)
{
    pthread_mutex_lock(&relay->lock);
    const char *text = i < relay->n_notes ? relay->notes[i]->note : "";
    pthread_mutex_unlock(&relay->lock);
    return text;
}
