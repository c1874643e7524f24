// TLS of the server with real clients: whose certificate is believed, what is swapped and when, what is not
// resumed.
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "aio/http.h"
#include "aio/job.h"
#include "aio/loop.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/text.h"
#include "http/server.h"
#include "testkit/cert.h"
#include "testkit/testkit.h"
#include "base/banned.h"

#define PATIENCE_MS 120000 // many at once, on a machine that is busy

enum { MANY = 40 };

struct bench {
    struct kp_loop *loop;
    struct kp_http_server *server;
    struct kp_http *client;
    struct kp_http_trust *trust;
    char *dir, *cert_file, *key_file, *url;
    struct kp_test_cert ca, server_cert;
    int port, n_done, n_ok;
    bool done;
    char body[256], failure[256];
};

// "-" or the name of the client's certificate
static void on_who(struct kp_http_exchange *x, void *user)
{
    struct bench *b = user;
    const char *name = kp_http_client_trusted(x, b->trust);
    kp_auto_free char *copy = kp_strdup(name);
    assert_ptr_equal(kp_http_client_trusted(x, b->trust), name); // not made again
    kp_http_reply_text(x, 200, "text/plain", copy != NULL ? copy : "-");
}

static const struct kp_http_route routes[] = {{.method = "GET", .path = "/who", .handler = on_who}, {0}};

static void write_pair(struct bench *b, const struct kp_test_cert *pair)
{
    assert_int_equal(kp_file_write_atomic(b->key_file, pair->key, strlen(pair->key), 0600, NULL), 0);
    assert_int_equal(kp_file_write_atomic(b->cert_file, pair->cert, strlen(pair->cert), 0600, NULL), 0);
}

static struct kp_test_cert server_pair(const struct bench *b, const char *name, bool rsa)
{
    return kp_test_cert_make(&(struct kp_test_cert_recipe){
        .name = name, .by = &b->ca, .rsa = rsa, .usage = "serverAuth", .alt = "IP:127.0.0.1"});
}

static int start(void **state)
{
    struct bench *b = KP_NEW(struct bench);
    b->loop = kp_loop_create();
    b->dir = kp_test_tmpdir();
    b->cert_file = kp_asprintf("%s/tls.crt", b->dir);
    b->key_file = kp_asprintf("%s/tls.key", b->dir);
    b->ca = kp_test_cert_make(&(struct kp_test_cert_recipe){.name = "ca", .ca = true});
    b->server_cert = server_pair(b, "first", false);
    write_pair(b, &b->server_cert);
    b->server = kp_http_server_create(
        b->loop, &(struct kp_http_server_options){.header_timeout_ms = PATIENCE_MS}, NULL);
    const struct kp_http_listener listener = {.address = "127.0.0.1:0",
        .cert_file = b->cert_file,
        .key_file = b->key_file,
        .ask_client_cert = true};
    assert_int_equal(kp_http_server_listen(b->server, &listener, routes, NULL, b, &b->port, NULL), 0);
    b->url = kp_asprintf("https://127.0.0.1:%d/who", b->port);
    b->client = kp_http_create(b->loop, &(struct kp_http_options){0});
    assert_int_equal(kp_http_trust_create(b->ca.cert, &b->trust, NULL), 0);
    *state = b;
    return 0;
}

static int stop(void **state)
{
    struct bench *b = *state;
    kp_http_destroy(b->client);
    kp_http_server_close(b->server);
    kp_loop_destroy(b->loop);
    kp_http_server_free(b->server);
    kp_http_trust_unref(b->trust);
    kp_test_cert_finish(&b->ca);
    kp_test_cert_finish(&b->server_cert);
    kp_test_rmdir(b->dir);
    kp_free(b->cert_file);
    kp_free(b->key_file);
    kp_free(b->url);
    kp_free(b);
    return 0;
}

static void on_done(void *user, const struct kp_http_result *result)
{
    struct bench *b = user;
    b->body[0] = '\0';
    if (result->body != NULL)
        snprintf(b->body, sizeof b->body, "%.*s", (int)result->body->len, (const char *)result->body->data);
    kp_copy(b->failure, sizeof b->failure, result->code != 0 ? result->error.text : "");
    b->n_ok += result->status == 200;
    b->n_done++;
    b->done = true;
}

static void send_one(struct bench *b, const struct kp_test_cert *client)
{
    struct kp_http_call *call;
    const struct kp_http_request get = {.method = "GET",
        .url = b->url,
        .connect_timeout_ms = PATIENCE_MS,
        .tls = {.ca_pem = b->ca.cert,
            .cert_pem = client ? client->cert : NULL,
            .key_pem = client ? client->key : NULL},
        .on_done = on_done,
        .user = b};
    b->done = false;
    assert_int_equal(kp_http_start(b->client, &get, &call, NULL), 0);
}

// What the server thinks of a client.
static const char *ask(struct bench *b, const struct kp_test_cert *client)
{
    send_one(b, client);
    assert_true(kp_loop_run_until(b->loop, &b->done, PATIENCE_MS));
    return b->failure[0] != '\0' ? b->failure : b->body;
}

static const char *ask_as(struct bench *b, const struct kp_test_cert_recipe *recipe)
{
    struct kp_test_cert cert = kp_test_cert_make(recipe);
    const char *said = ask(b, &cert);
    kp_test_cert_finish(&cert);
    return said;
}

// ---- clients ----

static void test_the_right_certificate_has_a_name(void **state)
{
    struct bench *b = *state;
    const struct kp_test_cert_recipe good = {
        .name = "front-proxy-client", .by = &b->ca, .usage = "clientAuth"};
    const struct kp_test_cert_recipe rsa = {.name = "r", .by = &b->ca, .usage = "clientAuth", .rsa = true};
    const struct kp_test_cert_recipe unsaid = {.name = "any usage", .by = &b->ca};
    const struct kp_test_cert_recipe both = {.name = "both", .by = &b->ca, .usage = "serverAuth,clientAuth"};
    const struct kp_test_cert_recipe nameless = {.by = &b->ca, .usage = "clientAuth"};
    assert_string_equal(ask_as(b, &good), "front-proxy-client");
    assert_string_equal(ask_as(b, &rsa), "r");
    assert_string_equal(ask_as(b, &unsaid), "any usage");
    assert_string_equal(ask_as(b, &both), "both");
    assert_string_equal(ask_as(b, &nameless), "");
}

static void test_any_other_certificate_is_as_good_as_none(void **state)
{
    struct bench *b = *state;
    struct kp_test_cert other = kp_test_cert_make(&(struct kp_test_cert_recipe){.name = "ca", .ca = true});
    const struct kp_test_cert_recipe own = {.name = "x", .usage = "clientAuth"};
    const struct kp_test_cert_recipe foreign = {.name = "x", .by = &other, .usage = "clientAuth"};
    const struct kp_test_cert_recipe past = {
        .name = "x", .by = &b->ca, .usage = "clientAuth", .from_s = -7200, .to_s = -60};
    const struct kp_test_cert_recipe future = {
        .name = "x", .by = &b->ca, .usage = "clientAuth", .from_s = 3600, .to_s = 7200};
    const struct kp_test_cert_recipe server = {.name = "x", .by = &b->ca, .usage = "serverAuth"};
    assert_string_equal(ask(b, NULL), "-");
    assert_string_equal(ask_as(b, &own), "-");
    assert_string_equal(ask_as(b, &foreign), "-");
    assert_string_equal(ask_as(b, &past), "-");
    assert_string_equal(ask_as(b, &future), "-");
    assert_string_equal(ask_as(b, &server), "-");
    kp_test_cert_finish(&other);
}

// A leaf may not sign: what it signed is not of the CA.
static void test_a_chain_goes_through_cas_only(void **state)
{
    struct bench *b = *state;
    for (int is_ca = 0; is_ca < 2; is_ca++) {
        struct kp_test_cert middle = kp_test_cert_make(
            &(struct kp_test_cert_recipe){.name = "middle", .by = &b->ca, .ca = is_ca == 1});
        struct kp_test_cert leaf = kp_test_cert_make(
            &(struct kp_test_cert_recipe){.name = "leaf", .by = &middle, .usage = "clientAuth"});
        struct kp_test_cert chain = {.cert = kp_asprintf("%s%s", leaf.cert, middle.cert), .key = leaf.key};
        assert_string_equal(ask(b, &chain), is_ca ? "leaf" : "-");
        assert_string_equal(ask(b, &leaf), "-"); // the middle is missing
        kp_free(chain.cert);
        kp_test_cert_finish(&middle);
        kp_test_cert_finish(&leaf);
    }
}

// ---- trust ----

static void test_trust_is_swapped_under_an_open_connection(void **state)
{
    struct bench *b = *state;
    struct kp_http *keeps = kp_http_create(b->loop, &(struct kp_http_options){.reuse = true});
    struct kp_http *plain = b->client;
    struct kp_test_cert next = kp_test_cert_make(&(struct kp_test_cert_recipe){.name = "ca", .ca = true});
    struct kp_test_cert old_client =
        kp_test_cert_make(&(struct kp_test_cert_recipe){.name = "old", .by = &b->ca, .usage = "clientAuth"});
    struct kp_test_cert new_client =
        kp_test_cert_make(&(struct kp_test_cert_recipe){.name = "new", .by = &next, .usage = "clientAuth"});
    kp_auto_free char *both = kp_asprintf("%s%s", b->ca.cert, next.cert);
    b->client = keeps;
    assert_string_equal(ask(b, &old_client), "old");
    assert_string_equal(ask(b, &new_client), "-");
    const char *const bundles[] = {both, next.cert, both, b->ca.cert};
    const char *const olds[] = {"old", "-", "old", "old"}, *const news[] = {"new", "new", "new", "-"};
    for (size_t i = 0; i < KP_COUNT(bundles); i++) {
        kp_http_trust_unref(b->trust); // the address may come again: it must not be mistaken for the old one
        assert_int_equal(kp_http_trust_create(bundles[i], &b->trust, NULL), 0);
        assert_string_equal(ask(b, &old_client), olds[i]);
        assert_string_equal(ask(b, &new_client), news[i]);
    }
    b->client = plain;
    kp_http_destroy(keeps);
    kp_test_cert_finish(&next);
    kp_test_cert_finish(&old_client);
    kp_test_cert_finish(&new_client);
}

static void test_what_is_no_ca_is_no_trust(void **state)
{
    struct bench *b = *state;
    struct kp_http_trust *trust = NULL;
    struct kp_error err = {0};
    struct kp_test_cert leaf =
        kp_test_cert_make(&(struct kp_test_cert_recipe){.name = "leaf", .usage = "clientAuth"});
    kp_auto_free char *mixed = kp_asprintf("# a remark\n%s\n%s", leaf.cert, b->ca.cert);
    kp_auto_free char *cut = kp_strndup(mixed, strlen(mixed) - 40);
    assert_int_equal(kp_http_trust_create("", &trust, NULL), KP_TLS);
    assert_int_equal(kp_http_trust_create("nothing of the kind", &trust, NULL), KP_TLS);
    assert_int_equal(kp_http_trust_create(leaf.cert, &trust, &err), KP_TLS);
    assert_string_equal(err.text, "no certificate of a CA is in them");
    assert_int_equal(kp_http_trust_create(cut, &trust, NULL), KP_TLS);
    assert_null(trust);
    kp_http_trust_unref(b->trust);
    assert_int_equal(kp_http_trust_create(mixed, &b->trust, NULL), 0);
    assert_string_equal(ask(b, &leaf), "-"); // being in the bundle is not enough
    kp_test_cert_finish(&leaf);
}

// ---- the server's certificate ----

struct peer { // an OpenSSL client in a thread of its own
    int port, version, max_version;
    const char *alpn;
    bool connected, resumed, done;
    char name[64], selected[16];
    SSL_SESSION *session;
};

static void peer_read(struct peer *p, SSL *ssl)
{
    static const char get[] = "GET /who HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    char room[1024];
    const unsigned char *alpn;
    unsigned alpn_len;
    X509 *cert = SSL_get0_peer_certificate(ssl);
    X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, p->name, sizeof p->name);
    SSL_get0_alpn_selected(ssl, &alpn, &alpn_len);
    snprintf(p->selected, sizeof p->selected, "%.*s", (int)alpn_len, (const char *)alpn);
    p->version = SSL_version(ssl);
    p->resumed = SSL_session_reused(ssl) == 1;
    SSL_write(ssl, get, sizeof get - 1);
    while (SSL_read(ssl, room, sizeof room) > 0) // tickets would come with it
        ;
    SSL_SESSION_free(p->session);
    p->session = SSL_get1_session(ssl);
}

static void peer_work(void *user)
{
    struct peer *p = user;
    struct sockaddr_in addr = {.sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        .sin_port = htons((uint16_t)p->port)};
    static char server_name[] = "registry.kube-pprof.svc"; // clients of a cluster say it
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(ctx, p->max_version);
    SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
    SSL_CTX_set_security_level(ctx, 0);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    SSL *ssl = SSL_new(ctx);
    if (p->alpn != NULL)
        SSL_set_alpn_protos(ssl, (const unsigned char *)p->alpn, (unsigned)strlen(p->alpn));
    SSL_set_tlsext_host_name(ssl, server_name);
    if (p->session != NULL)
        SSL_set_session(ssl, p->session);
    p->connected = connect(fd, (struct sockaddr *)&addr, sizeof addr) == 0 && SSL_set_fd(ssl, fd) == 1 &&
                   SSL_connect(ssl) == 1;
    if (p->connected)
        peer_read(p, ssl);
    SSL_free(ssl);
    close(fd);
    SSL_CTX_free(ctx);
}

static void peer_done(void *user)
{
    ((struct peer *)user)->done = true;
}

static void meet(struct bench *b, struct peer *p)
{
    p->port = b->port;
    p->done = false;
    kp_job_run(b->loop, KP_JOB_SHORT, peer_work, peer_done, p);
    assert_true(kp_loop_run_until(b->loop, &p->done, PATIENCE_MS));
}

static void test_tls_is_1_2_or_later(void **state)
{
    struct peer old = {.max_version = TLS1_1_VERSION}, two = {.max_version = TLS1_2_VERSION}, three = {0};
    meet(*state, &old);
    assert_false(old.connected);
    meet(*state, &two);
    assert_true(two.connected);
    assert_int_equal(two.version, TLS1_2_VERSION);
    meet(*state, &three);
    assert_true(three.connected);
    assert_int_equal(three.version, TLS1_3_VERSION);
    SSL_SESSION_free(two.session);
    SSL_SESSION_free(three.session);
}

static void test_sessions_are_not_resumed(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (size_t i = 0; i < KP_COUNT(versions); i++) {
        struct peer p = {.max_version = versions[i]};
        for (int times = 0; times < 3; times++) {
            meet(*state, &p);
            assert_true(p.connected);
            assert_false(p.resumed);
            assert_false(SSL_SESSION_has_ticket(p.session));
        }
        SSL_SESSION_free(p.session);
    }
}

static void test_alpn_is_http_1_1(void **state)
{
    struct peer both = {.alpn = "\x02h2\x08http/1.1"}, none = {0};
    meet(*state, &both);
    assert_string_equal(both.selected, "http/1.1");
    meet(*state, &none);
    assert_true(none.connected);
    assert_string_equal(none.selected, "");
    SSL_SESSION_free(both.session);
    SSL_SESSION_free(none.session);
}

static const char *served(struct bench *b)
{
    static char name[64];
    struct peer p = {0};
    meet(b, &p);
    kp_copy(name, sizeof name, p.name);
    SSL_SESSION_free(p.session);
    return name;
}

static void test_certificates_are_swapped_when_their_files_change(void **state)
{
    struct bench *b = *state;
    struct kp_test_cert second = server_pair(b, "second", true), third = server_pair(b, "third", false);
    assert_string_equal(served(b), "first");
    assert_int_equal(kp_http_server_reload(b->server, NULL), 0);
    assert_string_equal(served(b), "first");
    write_pair(b, &second);
    assert_string_equal(served(b), "first"); // not told yet
    assert_int_equal(kp_http_server_reload(b->server, NULL), 0);
    assert_string_equal(served(b), "second"); // and no key of another kind beside it
    write_pair(b, &third);
    assert_int_equal(kp_http_server_reload(b->server, NULL), 0);
    assert_string_equal(served(b), "third");
    kp_test_cert_finish(&second);
    kp_test_cert_finish(&third);
}

static void test_a_half_written_pair_is_not_served(void **state)
{
    struct bench *b = *state;
    struct kp_error err = {0};
    struct kp_test_cert next = server_pair(b, "next", false);
    assert_int_equal(kp_file_write_atomic(b->cert_file, next.cert, strlen(next.cert), 0600, NULL), 0);
    assert_int_equal(kp_http_server_reload(b->server, &err), KP_TLS); // the key is the old one
    assert_non_null(strstr(err.text, "key values mismatch"));
    assert_string_equal(served(b), "first");
    assert_int_equal(kp_file_write_atomic(b->cert_file, next.cert, strlen(next.cert) / 2, 0600, NULL), 0);
    assert_int_equal(kp_http_server_reload(b->server, NULL), KP_TLS);
    assert_int_equal(unlink(b->key_file), 0);
    assert_int_not_equal(kp_http_server_reload(b->server, NULL), 0);
    assert_string_equal(served(b), "first");
    write_pair(b, &next);
    assert_int_equal(kp_http_server_reload(b->server, NULL), 0);
    assert_string_equal(served(b), "next");
    kp_test_cert_finish(&next);
}

// Whether a reload opens files: it fails then.
static int reload_without_descriptors(struct bench *b)
{
    struct rlimit usual, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &usual), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = usual.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int code = kp_http_server_reload(b->server, NULL);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &usual), 0);
    return code;
}

static void test_files_that_are_as_they_were_are_not_read(void **state)
{
    struct bench *b = *state;
    assert_int_equal(reload_without_descriptors(b), 0);
    write_pair(b, &b->server_cert); // the same bytes in new files
    assert_int_not_equal(reload_without_descriptors(b), 0);
    assert_int_equal(kp_http_server_reload(b->server, NULL), 0);
    assert_int_equal(reload_without_descriptors(b), 0);
    const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    assert_int_equal(utimensat(AT_FDCWD, b->key_file, times, 0), 0);
    assert_int_not_equal(reload_without_descriptors(b), 0);
}

static void test_many_clients_at_once(void **state)
{
    struct bench *b = *state;
    struct kp_test_cert client =
        kp_test_cert_make(&(struct kp_test_cert_recipe){.name = "many", .by = &b->ca, .usage = "clientAuth"});
    for (int round = 1; round <= 3; round++) {
        for (int i = 0; i < MANY; i++)
            send_one(b, &client);
        while (b->n_done < round * MANY) {
            b->done = false;
            assert_true(kp_loop_run_until(b->loop, &b->done, PATIENCE_MS));
        }
    }
    assert_int_equal(b->n_ok, 3 * MANY);
    kp_test_cert_finish(&client);
}

static void test_a_listener_needs_both_files(void **state)
{
    struct bench *b = *state;
    const struct kp_http_listener wrong[] = {
        {.address = "127.0.0.1:0", .cert_file = b->cert_file},
        {.address = "127.0.0.1:0", .key_file = b->key_file},
        {.address = "127.0.0.1:0", .ask_client_cert = true},
    };
    for (size_t i = 0; i < KP_COUNT(wrong); i++) {
        struct kp_error err = {0};
        assert_int_equal(
            kp_http_server_listen(b->server, &wrong[i], routes, NULL, b, NULL, &err), KP_INVALID);
        assert_true(err.text[0] != '\0');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_right_certificate_has_a_name, start, stop),
        cmocka_unit_test_setup_teardown(test_any_other_certificate_is_as_good_as_none, start, stop),
        cmocka_unit_test_setup_teardown(test_a_chain_goes_through_cas_only, start, stop),
        cmocka_unit_test_setup_teardown(test_trust_is_swapped_under_an_open_connection, start, stop),
        cmocka_unit_test_setup_teardown(test_what_is_no_ca_is_no_trust, start, stop),
        cmocka_unit_test_setup_teardown(test_tls_is_1_2_or_later, start, stop),
        cmocka_unit_test_setup_teardown(test_sessions_are_not_resumed, start, stop),
        cmocka_unit_test_setup_teardown(test_alpn_is_http_1_1, start, stop),
        cmocka_unit_test_setup_teardown(test_certificates_are_swapped_when_their_files_change, start, stop),
        cmocka_unit_test_setup_teardown(test_a_half_written_pair_is_not_served, start, stop),
        cmocka_unit_test_setup_teardown(test_files_that_are_as_they_were_are_not_read, start, stop),
        cmocka_unit_test_setup_teardown(test_many_clients_at_once, start, stop),
        cmocka_unit_test_setup_teardown(test_a_listener_needs_both_files, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
