// The same over TLS, as kubeconfigs ask for it, and through a proxy.
#include <signal.h>

#include "forward/forward_fixture.h"
#include "testkit/cert.h"
#include "base/banned.h"

static struct kp_test_cert ca, other_ca, leaf, person;

static int make_certs(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN); // the server's side
    ca = kp_test_cert_make(&(struct kp_test_cert_recipe){.name = "ca", .ca = true});
    other_ca = kp_test_cert_make(&(struct kp_test_cert_recipe){.name = "other", .ca = true});
    leaf = kp_test_cert_make(&(struct kp_test_cert_recipe){
        .name = "api", .by = &ca, .usage = "serverAuth", .alt = "IP:127.0.0.1,DNS:api.test"});
    person = kp_test_cert_make(&(struct kp_test_cert_recipe){.name = "me", .by = &ca, .usage = "clientAuth"});
    return 0;
}

static int free_certs(void **state)
{
    (void)state;
    kp_test_cert_finish(&ca);
    kp_test_cert_finish(&other_ca);
    kp_test_cert_finish(&leaf);
    kp_test_cert_finish(&person);
    return 0;
}

// Large messages: what TLS holds back after a read must not be forgotten.
static void answers_large(struct side *side)
{
    uint8_t payload[FRAME_BYTES];
    size_t len = 0;
    if (!side_open(side) || side_receive(side, payload, &len) != KP_OP_BINARY)
        return;
    server_note(side->server, SSL_get_servername(side->ssl, TLSEXT_NAMETYPE_host_name) != NULL
                                  ? SSL_get_servername(side->ssl, TLSEXT_NAMETYPE_host_name)
                                  : "");
    memset(payload, 'x', sizeof payload);
    for (int i = 0; i < 200; i++)
        side_message(side, 0, payload, 60000);
    side_close(side, 1000);
    side_receive(side, payload, &len);
}

static void counts(struct client *client)
{
    static const size_t room = 70000;
    char *bytes = kp_alloc(room);
    ssize_t n;
    client_write(client->fd, "go", 2);
    while ((n = recv(client->fd, bytes, room, 0)) > 0)
        client->count += n;
    kp_free(bytes);
}

static struct bench *tls_bench(const char *client_ca)
{
    struct bench *bench = bench_create(answers_large, server_tls(leaf.cert, leaf.key, client_ca));
    bench->config.ca_pem = ca.cert;
    return bench;
}

static void run_well(struct bench *bench)
{
    struct kp_error err = run_one(bench, counts, NULL);
    assert_string_equal(err.text, "");
    assert_int_equal(bench->clients[0].count, 200L * 60000);
    bench_destroy(bench);
}

static void run_badly(struct bench *bench, int code, const char *part)
{
    struct kp_error err = run_one(bench, counts, NULL);
    assert_failure(&err, code, part);
    assert_int_equal(bench->clients[0].count, 0);
    bench_destroy(bench);
}

static void test_ca(void **state)
{
    (void)state;
    run_well(tls_bench(NULL));
    struct bench *bench = tls_bench(NULL);
    bench->config.ca_pem = other_ca.cert;
    run_badly(bench, KP_TLS, "certificate");
    bench = tls_bench(NULL);
    bench->config.ca_pem = other_ca.cert;
    bench->config.insecure = true;
    run_well(bench);
}

static void test_client_certificate(void **state)
{
    (void)state;
    struct bench *bench = tls_bench(ca.cert);
    bench->config.cert_pem = person.cert;
    bench->config.key_pem = person.key;
    run_well(bench);
    struct kp_error err = run_one(bench = tls_bench(ca.cert), counts, NULL);
    assert_true(err.code == KP_NETWORK || err.code == KP_TLS);
    bench_destroy(bench);
}

static void test_server_name(void **state)
{
    (void)state;
    struct bench *bench = tls_bench(NULL);
    bench->config.tls_server_name = (char[]){"api.test"};
    struct kp_error err = run_one(bench, counts, NULL);
    assert_string_equal(err.text, "");
    assert_string_equal(bench->server->seen, "api.test");
    bench_destroy(bench);
    bench = tls_bench(NULL);
    bench->config.tls_server_name = (char[]){"else.test"};
    run_badly(bench, KP_TLS, "else.test");
}

static void resets(struct side *side)
{
    struct linger linger = {.l_onoff = 1};
    if (!side_open(side))
        return;
    side_message(side, 0, "x", 1);
    setsockopt(side->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    SSL_set_quiet_shutdown(side->ssl, 1);
}

static void test_cut(void **state)
{
    (void)state;
    struct bench *bench = bench_create(resets, server_tls(leaf.cert, leaf.key, NULL));
    bench->config.ca_pem = ca.cert;
    struct kp_error err = run_one(bench, counts, NULL);
    assert_failure(&err, KP_NETWORK, "");
    bench_destroy(bench);
}

// ---- a proxy ----

static void carry(int from, int to)
{
    char bytes[16384];
    ssize_t n = recv(from, bytes, sizeof bytes, 0);
    if (n > 0)
        client_write(to, bytes, (size_t)n);
    else
        shutdown(to, SHUT_WR);
}

// CONNECT to 127.0.0.1 only, whatever was asked for; one connection.
static void proxies(struct side *side)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    server_note(side->server, side_head(side));
    const char *port = strchr(side->head, ':');
    if (!kp_starts_with(side->head, "CONNECT ") || port == NULL)
        return;
    addr.sin_port = htons((uint16_t)strtol(port + 1, NULL, 10));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&addr, sizeof addr) != 0)
        abort();
    side_printf(side, "HTTP/1.1 200 Connection established\r\nProxy-Agent: test\r\n\r\n");
    struct pollfd fds[2] = {{.fd = side->fd, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
    while (poll(fds, 2, -1) > 0 && !((fds[0].revents | fds[1].revents) & POLLHUP)) {
        if (fds[0].revents != 0)
            carry(side->fd, fd);
        if (fds[1].revents != 0)
            carry(fd, side->fd);
    }
    close(fd);
}

static void refuses_to_proxy(struct side *side)
{
    side_head(side);
    side_printf(side, "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
}

static void test_proxy(void **state)
{
    (void)state;
    struct server *proxy = server_start(proxies, NULL);
    struct bench *bench = tls_bench(NULL);
    kp_auto_free char *url = kp_asprintf("http://127.0.0.1:%d", proxy->port);
    bench->config.proxy = url;
    run_well(bench);
    assert_true(kp_starts_with(proxy->seen, "CONNECT 127.0.0.1:"));
    assert_null(strstr(proxy->seen, "secret"));
    server_stop(proxy);
}

static void test_proxy_refuses(void **state)
{
    (void)state;
    struct server *proxy = server_start(refuses_to_proxy, NULL);
    struct bench *bench = tls_bench(NULL);
    kp_auto_free char *url = kp_asprintf("http://127.0.0.1:%d", proxy->port);
    bench->config.proxy = url;
    run_badly(bench, KP_NETWORK, "407");
    server_stop(proxy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ca),
        cmocka_unit_test(test_client_certificate),
        cmocka_unit_test(test_server_name),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_proxy),
        cmocka_unit_test(test_proxy_refuses),
    };
    return cmocka_run_group_tests(tests, make_certs, free_certs);
}
