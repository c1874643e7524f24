// What asking Kubernetes costs: a registry over TLS, an API server of the testkit's, clients with tokens on
// connections that stay.
//
//     kp_auth_bench PROGRAM [SECONDS 65] [READS_PER_SECOND 1000] [USERS 4]
//
// Every user lists two namespaces. Prints questions per (user, verb, namespace) and 30 s, latency, CPU.
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "aio/http.h"
#include "aio/loop.h"
#include "base/alloc.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "testkit/cert.h"
#include "testkit/kube_api.h"
#include "testkit/testkit.h"
#include "base/banned.h"

enum { CONNECTIONS = 16, PORT = 18443, TICK_MS = 10 };

static const char *const namespaces[] = {"shop", "pay"};

struct bench {
    struct kp_loop *loop;
    struct kp_http *client;
    struct kp_test_api *api;
    struct kp_test_cert ca, server;
    char *dir;
    pid_t registry;
    int64_t users, per_second, left, sent, done, bad;
    int64_t began_ms;
    bool over;
    KP_ARRAY(double) ms;
};

struct read {
    struct bench *b;
    int64_t began_us;
};

static char *file(struct bench *b, const char *name, const char *text)
{
    char *path = kp_asprintf("%s/%s", b->dir, name);
    if (kp_file_write_atomic(path, text, strlen(text), 0600, NULL) != 0)
        exit(1);
    return path;
}

static void start_registry(struct bench *b, const char *program)
{
    kp_auto_free char *config =
        kp_asprintf("current-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n"
                    "clusters: [{name: c, cluster: {server: '%s'}}]\nusers: [{name: u, user: {}}]\n",
            kp_test_api_url(b->api));
    kp_auto_free char *kubeconfig = file(b, "kubeconfig", config), *cert = file(b, "c", b->server.cert),
                      *key = file(b, "k", b->server.key), *log = file(b, "log", "");
    b->registry = fork();
    if (b->registry != 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (freopen(log, "w", stderr) == NULL)
        _exit(1);
    kp_auto_free char *k = kp_asprintf("--kubeconfig=%s", kubeconfig),
                      *c = kp_asprintf("--tls-cert-file=%s", cert),
                      *p = kp_asprintf("--tls-key-file=%s", key),
                      *d = kp_asprintf("--data-dir=%s/data", b->dir),
                      *l = kp_asprintf("--listen=127.0.0.1:%d", PORT);
    execl(program, program, "registry", "--authentication=Kubernetes", k, c, p, d, l, (char *)NULL);
    _exit(1);
}

// CPU time of the registry so far.
static double cpu_seconds(const struct bench *b)
{
    kp_auto_free char *path = kp_asprintf("/proc/%d/stat", (int)b->registry);
    kp_auto_free char *text = NULL;
    unsigned long user = 0, kernel = 0;
    if (kp_file_read(path, 4096, &text, NULL, NULL) == 0)
        sscanf(strrchr(text, ')'), ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &kernel);
    return (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
}

static void on_done(void *user, const struct kp_http_result *result)
{
    struct read *r = user;
    struct bench *b = r->b;
    *kp_array_add(&b->ms) = (double)(kp_mono_us() - r->began_us) / 1000;
    b->bad += result->status != 200;
    b->done++;
    kp_free(r);
    b->over = b->done == b->sent && b->left == 0;
}

static void read_once(struct bench *b)
{
    struct read *r = KP_NEW(struct read);
    struct kp_http_call *call;
    int64_t n = b->sent++;
    r->b = b;
    r->began_us = kp_mono_us();
    kp_auto_free char *header = kp_asprintf("Authorization: Bearer user-%d@kube-pprof", (int)(n % b->users));
    kp_auto_free char *url = kp_asprintf("https://127.0.0.1:%d/api/v1/profiles?namespace=%s", PORT,
        namespaces[n / b->users % (int64_t)KP_COUNT(namespaces)]);
    const struct kp_http_request get = {.method = "GET",
        .url = url,
        .headers = (const char *const[]){header, NULL},
        .tls = {.ca_pem = b->ca.cert},
        .on_done = on_done,
        .user = r};
    if (kp_http_start(b->client, &get, &call, NULL) != 0)
        exit(1);
}

static void on_tick(void *user)
{
    struct bench *b = user;
    int64_t due = (kp_mono_ms() - b->began_ms) * b->per_second / 1000;
    for (; b->left > 0 && b->sent < due; b->left--)
        read_once(b);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(struct bench *b, double seconds, double cpu)
{
    double pairs = (double)b->users * (double)KP_COUNT(namespaces);
    double halves = (double)(((int64_t)seconds + 29) / 30),
           minutes = (double)(((int64_t)seconds + 59) / 60); // begun
    size_t tokens = kp_test_api_token_reviews(b->api), rights = kp_test_api_access_reviews(b->api);
    qsort(b->ms.items, b->ms.n, sizeof b->ms.items[0], by_value);
    printf("%lld reads in %.1f s (%.0f/s), %lld not 200\n", (long long)b->done, seconds,
        (double)b->done / seconds, (long long)b->bad);
    printf("TokenReviews %zu: %.2f per user and 60 s; SubjectAccessReviews %zu: %.2f per (user, verb, "
           "namespace) "
           "and 30 s\n",
        tokens, (double)tokens / (double)b->users / minutes, rights, (double)rights / pairs / halves);
    printf("latency ms: median %.2f, p99 %.2f, worst %.2f; registry's CPU %.0f us a read\n",
        b->ms.items[b->ms.n / 2], b->ms.items[b->ms.n * 99 / 100], b->ms.items[b->ms.n - 1],
        cpu * 1e6 / (double)b->done);
}

static int64_t number(int argc, char **argv, int i, int64_t usual)
{
    int64_t value = usual;
    if (argc > i && kp_parse_int(argv[i], 1, 100000, &value, NULL) != 0)
        exit(2);
    return value;
}

static void set_up(struct bench *b, const char *program)
{
    b->dir = kp_test_tmpdir();
    b->api = kp_test_api_start();
    b->ca = kp_test_cert_make(&(struct kp_test_cert_recipe){.name = "ca", .ca = true});
    b->server = kp_test_cert_make(&(struct kp_test_cert_recipe){
        .name = "r", .by = &b->ca, .usage = "serverAuth", .alt = "IP:127.0.0.1"});
    for (int64_t i = 0; i < b->users; i++) {
        kp_auto_free char *name = kp_asprintf("user-%d", (int)i);
        for (size_t k = 0; k < KP_COUNT(namespaces); k++)
            kp_test_api_grant(b->api, name, "list", NULL, namespaces[k]);
    }
    start_registry(b, program);
    b->loop = kp_loop_create();
    b->client =
        kp_http_create(b->loop, &(struct kp_http_options){.max_connections = CONNECTIONS, .reuse = true});
}

int main(int argc, char **argv)
{
    struct bench b = {.users = number(argc, argv, 4, 4), .per_second = number(argc, argv, 3, 1000)};
    int64_t seconds = number(argc, argv, 2, 65);
    if (argc < 2)
        return 2;
    set_up(&b, argv[1]);
    usleep(1000000);
    double cpu = cpu_seconds(&b);
    struct kp_timer *tick = kp_timer_create(b.loop, on_tick, &b);
    b.left = seconds * b.per_second;
    b.began_ms = kp_mono_ms();
    kp_timer_start(tick, TICK_MS, TICK_MS);
    kp_loop_run_until(b.loop, &b.over, (seconds + 30) * 1000);
    report(&b, (double)(kp_mono_ms() - b.began_ms) / 1000, cpu_seconds(&b) - cpu);
    kill(b.registry, SIGTERM);
    waitpid(b.registry, NULL, 0);
    kp_timer_destroy(tick);
    kp_http_destroy(b.client);
    kp_loop_destroy(b.loop);
    kp_test_api_stop(b.api);
    kp_test_cert_finish(&b.ca);
    kp_test_cert_finish(&b.server);
    kp_array_free(&b.ms);
    kp_test_rmdir(b.dir);
    return b.bad == 0 ? 0 : 1;
}
