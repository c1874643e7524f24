// What the tests beside it share: a forward on a loop with its server, and clients of the Unix socket in
// threads of their own. Only tests include it.
#ifndef KP_FORWARD_FORWARD_FIXTURE_H
#define KP_FORWARD_FORWARD_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/text.h"
#include "forward/forward.h"
#include "forward/server_fixture.h"
#include "testkit/testkit.h"

// ---- the client ----

static inline int client_connect(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(addr.sun_path, sizeof addr.sun_path, "%s", path);
    if (connect(fd, (struct sockaddr *)&addr, sizeof addr) != 0)
        abort();
    return fd;
}

static inline void client_write(int fd, const void *bytes, size_t len)
{
    const char *at = bytes;
    while (len > 0) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        at += n;
        len -= (size_t)n;
    }
}

// Up to the end of what the other side sends.
static inline size_t client_read(int fd, char *out, size_t size)
{
    size_t len = 0;
    ssize_t n;
    while (len < size - 1 && (n = recv(fd, out + len, size - 1 - len, 0)) > 0)
        len += (size_t)n;
    out[len] = '\0';
    return len;
}

// ---- the bench ----

enum { DEADLINE_MS = 300000 };

struct client {
    struct bench *bench;
    void (*run)(struct client *client);
    pthread_t thread;
    int fd;
    char got[4096]; // what came
    long count;
};

struct bench {
    struct kp_loop *loop;
    struct kp_kube *kube;
    struct kp_forward *forward;
    struct server *server;
    char *dir, *url;
    struct kp_kube_config config;
    struct kp_forward_options options;
    struct kp_kube_options kube_options;
    struct kp_wake *wake;
    pthread_mutex_t lock;
    int n_running;
    bool idle; // no client runs
    struct client clients[8];
    int n_clients;
};

static inline void on_wake(void *user)
{
    struct bench *bench = user;
    pthread_mutex_lock(&bench->lock);
    bench->idle = bench->n_running == 0;
    pthread_mutex_unlock(&bench->lock);
}

static inline struct bench *bench_create(void (*serve)(struct side *side), SSL_CTX *tls)
{
    struct bench *bench = KP_NEW(struct bench);
    bench->loop = kp_loop_create();
    bench->server = server_start(serve, tls);
    bench->dir = kp_test_tmpdir();
    chmod(bench->dir, 0700);
    bench->url = kp_asprintf("%s://127.0.0.1:%d", tls != NULL ? "https" : "http", bench->server->port);
    bench->config = (struct kp_kube_config){.server = bench->url, .token = kp_strdup("secret")};
    bench->options =
        (struct kp_forward_options){.namespace = "shop", .pod = "web-0", .port = 6060, .dir = bench->dir};
    pthread_mutex_init(&bench->lock, NULL);
    bench->wake = kp_wake_create(bench->loop, on_wake, bench);
    return bench;
}

static inline void bench_open(struct bench *bench)
{
    struct kp_error err = {0};
    bench->kube = kp_kube_create(bench->loop, &bench->config, &bench->kube_options);
    int code = kp_forward_create(bench->loop, bench->kube, &bench->options, &bench->forward, &err);
    if (code != 0)
        fail_msg("%s", err.text);
}

static inline void *client_thread(void *user)
{
    struct client *client = user;
    struct bench *bench = client->bench;
    client->run(client);
    close(client->fd);
    pthread_mutex_lock(&bench->lock);
    bench->n_running--;
    pthread_mutex_unlock(&bench->lock);
    kp_wake_send(bench->wake);
    return NULL;
}

static inline struct client *client_start(struct bench *bench, void (*run)(struct client *client))
{
    struct client *client = &bench->clients[bench->n_clients++];
    client->bench = bench;
    client->run = run;
    client->fd = client_connect(kp_forward_socket(bench->forward));
    pthread_mutex_lock(&bench->lock);
    bench->n_running++;
    bench->idle = false;
    pthread_mutex_unlock(&bench->lock);
    pthread_create(&client->thread, NULL, client_thread, client);
    return client;
}

static inline void clients_join(struct bench *bench)
{
    assert_true(kp_loop_run_until(bench->loop, &bench->idle, DEADLINE_MS));
    for (int i = 0; i < bench->n_clients; i++)
        pthread_join(bench->clients[i].thread, NULL);
    bench->n_clients = 0;
}

static inline void bench_destroy(struct bench *bench)
{
    kp_forward_destroy(bench->forward);
    kp_kube_destroy(bench->kube);
    kp_wake_destroy(bench->wake);
    kp_loop_destroy(bench->loop);
    server_stop(bench->server);
    pthread_mutex_destroy(&bench->lock);
    kp_test_rmdir(bench->dir);
    kp_free(bench->url);
    kp_free(bench->config.token);
    kp_free(bench);
}

static inline void turn_loop(struct bench *bench, int64_t ms)
{
    bool never = false;
    kp_loop_run_until(bench->loop, &never, ms);
}

// What the server's script waits for may need the loop.
static inline void turn_until_stage(struct bench *bench, int stage)
{
    int64_t end = kp_mono_ms() + 60000;
    for (bool arrived = false; !arrived; turn_loop(bench, 5)) {
        if (kp_mono_ms() > end)
            fail_msg("the server's script never came to stage %d", stage);
        pthread_mutex_lock(&bench->server->lock);
        arrived = bench->server->stage >= stage;
        pthread_mutex_unlock(&bench->server->lock);
    }
}

// One client, to its end; the failure that is left.
static inline struct kp_error run_one(struct bench *bench, void (*run)(struct client *client), char got[4096])
{
    struct kp_error err;
    bench_open(bench);
    struct client *client = client_start(bench, run);
    clients_join(bench);
    if (got != NULL)
        memcpy(got, client->got, sizeof client->got);
    kp_forward_error(bench->forward, &err);
    return err;
}

// Only the start of a failure's sentence is common to all but the API server's, which names the pod itself.
static inline void assert_failure(const struct kp_error *err, int code, const char *part)
{
    bool is_named = kp_starts_with(err->text, "port 6060 of pod 'shop/web-0': ");
    if (err->code != code || strstr(err->text, part) == NULL || is_named != (err->http_status != 403))
        fail_msg("code %d, expected %d with '%s': %s", err->code, code, part, err->text);
}

// ---- what many do ----

static inline void asks(struct client *client)
{
    client_write(client->fd, "hello", 5);
    client->count = (long)client_read(client->fd, client->got, sizeof client->got);
}

static inline void listens(struct client *client)
{
    client->count = (long)client_read(client->fd, client->got, sizeof client->got);
}

static inline void echoes(struct side *side)
{
    uint8_t payload[FRAME_BYTES];
    size_t len;
    if (!side_open(side))
        return;
    server_note(side->server, side->head);
    while (side_receive(side, payload, &len) == KP_OP_BINARY) {
        assert_int_equal(payload[0], 0);
        side_message(side, 0, payload + 1, len - 1);
        side_close(side, 1000);
    }
}

#endif
