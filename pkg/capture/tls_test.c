// TLS against a real one: certificates are made here.
#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "capture/capture_fixture.h"
#include "base/banned.h"

struct identity {
    EVP_PKEY *key;
    X509 *cert;
    char *pem;
};

// A certificate that signs itself, for the name "checkout.shop".
static struct identity identity_make(void)
{
    struct identity id = {.key = EVP_EC_gen("P-256"), .cert = X509_new()};
    X509_set_version(id.cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(id.cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(id.cert), -60);
    X509_gmtime_adj(X509_getm_notAfter(id.cert), 3600);
    X509_set_pubkey(id.cert, id.key);
    X509_NAME *name = X509_get_subject_name(id.cert);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"checkout", -1, -1, 0);
    X509_set_issuer_name(id.cert, name);
    X509_EXTENSION *san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:checkout.shop");
    X509_add_ext(id.cert, san, -1);
    X509_EXTENSION_free(san);
    assert_true(X509_sign(id.cert, id.key, EVP_sha256()) > 0);
    BIO *bio = BIO_new(BIO_s_mem());
    char *data;
    PEM_write_bio_X509(bio, id.cert);
    long len = BIO_get_mem_data(bio, &data);
    id.pem = kp_strndup(data, (size_t)len);
    BIO_free(bio);
    return id;
}

static void identity_free(struct identity *id)
{
    EVP_PKEY_free(id->key);
    X509_free(id->cert);
    kp_free(id->pem);
}

struct server {
    int fd, port;
    SSL_CTX *ctx;
    pthread_t thread;
    _Atomic int requests;
    char last[2048]; // read by the test once it has the result
};

static void serve_one(struct server *server, int fd)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" FIXTURE_PROFILE;
    SSL *ssl = SSL_new(server->ctx);
    SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) == 1) {
        int n = SSL_read(ssl, server->last, sizeof server->last - 1);
        if (n > 0) {
            server->last[n] = '\0';
            server->requests++;
            SSL_write(ssl, answer, sizeof answer - 1);
            SSL_shutdown(ssl);
        }
    }
    SSL_free(ssl);
    close(fd);
}

static void *serve(void *arg)
{
    struct server *server = arg;
    int fd;
    sigset_t pipes;
    sigemptyset(&pipes);
    sigaddset(&pipes, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipes, NULL); // of this side only: the client must do without
    while ((fd = accept(server->fd, NULL, NULL)) >= 0)
        serve_one(server, fd);
    return NULL;
}

static void server_start(struct server *server, const struct identity *id)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof addr;
    *server = (struct server){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    struct sockaddr *generic = (struct sockaddr *)(void *)&addr;
    assert_int_equal(bind(server->fd, generic, size), 0);
    assert_int_equal(listen(server->fd, 16), 0);
    assert_int_equal(getsockname(server->fd, generic, &size), 0);
    server->port = ntohs(addr.sin_port);
    server->ctx = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_certificate(server->ctx, id->cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(server->ctx, id->key), 1);
    assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
}

static void server_stop(struct server *server)
{
    shutdown(server->fd, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    close(server->fd);
    SSL_CTX_free(server->ctx);
}

static void only_the_right_certificate_is_talked_to(void **state)
{
    struct identity id = identity_make(), other = identity_make();
    struct server server;
    (void)state;
    server_start(&server, &id);
    const struct {
        const char *ca, *name;
        bool insecure;
        enum kp_outcome outcome;
    } rows[] = {
        {id.pem, "checkout.shop", false, KP_OUTCOME_SUCCEEDED},
        {NULL, "checkout.shop", false, KP_OUTCOME_TLS_ERROR},      // the system's authorities do not know it
        {other.pem, "checkout.shop", false, KP_OUTCOME_TLS_ERROR}, // another authority
        {id.pem, NULL, false, KP_OUTCOME_TLS_ERROR},               // not made for the pod's address
        {id.pem, "elsewhere.shop", false, KP_OUTCOME_TLS_ERROR},
        {NULL, NULL, true, KP_OUTCOME_SUCCEEDED},
    };
    struct bench *bench = fixture_start((struct kp_capture_options){0}, true);
    bench->target.port = (uint16_t)server.port;
    bench->target.https = true;
    bench->wanted.endpoint = &bench->endpoint;
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        struct kp_capture_secrets secrets = {
            .ca_pem = rows[i].ca, .bearer = rows[i].insecure ? NULL : "hush"};
        int before = server.requests;
        bench->endpoint.tls_server_name = rows[i].name;
        bench->endpoint.tls_insecure = rows[i].insecure;
        const struct result_seen *seen = fixture_capture(bench, 0, &secrets);
        if (seen->outcome != rows[i].outcome)
            fail_msg("row %zu: %s %s", i, kp_outcome_info(seen->outcome)->name, seen->message);
        assert_null(strstr(seen->message, "hush"));
        assert_int_equal(server.requests - before, rows[i].outcome == KP_OUTCOME_SUCCEEDED);
        if (i == 0)
            assert_non_null(strstr(server.last, "\r\nAuthorization: Bearer hush\r\n"));
        if (rows[i].insecure)
            assert_null(strstr(server.last, "Authorization"));
    }
    fixture_end(bench);
    server_stop(&server);
    identity_free(&id);
    identity_free(&other);
}

static void a_token_with_a_line_feed_is_refused(void **state)
{
    struct identity id = identity_make();
    struct server server;
    (void)state;
    server_start(&server, &id);
    struct bench *bench = fixture_start((struct kp_capture_options){0}, true);
    const struct kp_capture_secrets secrets = {.ca_pem = id.pem, .bearer = "hush\r\nX-Evil: 1"};
    bench->target.port = (uint16_t)server.port;
    bench->target.https = true;
    const struct result_seen *seen = fixture_capture(bench, 0, &secrets);
    assert_int_equal(seen->outcome, KP_OUTCOME_REFUSED);
    assert_null(strstr(seen->message, "hush"));
    assert_non_null(strstr(seen->message, "line"));
    assert_int_equal(server.requests, 0);
    fixture_end(bench);
    server_stop(&server);
    identity_free(&id);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_right_certificate_is_talked_to),
        cmocka_unit_test(a_token_with_a_line_feed_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
