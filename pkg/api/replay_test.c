// The exchanges recorded from profefe (testdata/profefe) against the registry in a process of its own.
#include "api/gate_fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/banned.h"

static void on_terminate(void *user)
{
    kp_loop_stop(user);
}

// Asks for everything to be sealed, again and again.
struct sealer {
    struct bench *b;
    struct kp_timer *timer;
    struct kp_http_call *call;
    int n, failed;
};

static void on_sealed(void *user, const struct kp_http_result *result)
{
    struct sealer *s = user;
    s->call = NULL;
    s->n++;
    s->failed += result->code == 0 && result->status != 200;
    kp_timer_start(s->timer, 1, 0);
}

static void on_seal(void *user)
{
    struct sealer *s = user;
    kp_auto_free char *url = kp_asprintf("http://127.0.0.1:%d/api/v1/admin/seal", s->b->port);
    const struct kp_http_request request = {.method = "POST", .url = url, .on_done = on_sealed, .user = s};
    s->failed += kp_http_start(s->b->client, &request, &s->call, NULL) != 0;
}

// Who says nothing is let into the namespace "old", and only there.
static const struct fake_user users[] = {{NULL, "old"}, {0}};
static const struct fake_rule rules[] = {{"system:anonymous", "*", "*", "old"}, {0}};
static struct fake_gate gate = {.users = users, .rules = rules};

static int serve(int port_fd, bool sealing, bool tenant)
{
    struct kp_api_options options = {0};
    if (tenant)
        options.gate = fake_gate(&gate);
    struct bench *b = bench_start(options);
    struct kp_signal *terminate = kp_signal_create(b->loop, SIGTERM, on_terminate, b->loop);
    struct sealer sealer = {.b = b};
    struct kp_store_stats stats;
    if (write(port_fd, &b->port, sizeof b->port) != sizeof b->port)
        return 1;
    sealer.timer = kp_timer_create(b->loop, on_seal, &sealer);
    if (sealing)
        kp_timer_start(sealer.timer, 1, 0);
    kp_loop_run(b->loop);
    kp_store_get_stats(b->store, &stats);
    bool sealed = !sealing || (sealer.n > 1 && sealer.failed == 0 && stats.n_sealed > 50);
    if (!sealed)
        fprintf(stderr, "sealed %d times, %d failed, %llu profiles\n", sealer.n, sealer.failed,
            (unsigned long long)stats.n_sealed);
    kp_timer_stop(sealer.timer);
    if (sealer.call)
        kp_http_cancel(sealer.call);
    for (const bool never = false; sealer.call;)
        kp_loop_run_until(b->loop, &never, 1);
    kp_timer_destroy(sealer.timer);
    kp_signal_destroy(terminate);
    bench_stop(b);
    return sealed ? 0 : 1;
}

static pid_t start_server(bool sealing, bool tenant, int *ret_port)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        exit(serve(fds[1], sealing, tenant));
    }
    close(fds[1]);
    ssize_t n = read(fds[0], ret_port, sizeof *ret_port);
    close(fds[0]);
    assert_int_equal(n, sizeof *ret_port);
    return pid;
}

static void replay(bool sealing, bool tenant)
{
    char url[64];
    int port, status = 0;
    if (access("/usr/bin/python3", X_OK) != 0) {
        print_message("python3 is not installed, the exchanges are skipped\n");
        skip();
    }
    pid_t server = start_server(sealing, tenant, &port);
    snprintf(url, sizeof url, "http://127.0.0.1:%d", port);
    pid_t player = fork();
    assert_true(player >= 0);
    if (player == 0) {
        execl("/usr/bin/python3", "python3", "-B", KP_TESTDATA "/profefe/replay.py", url, (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(player, &status, 0), player);
    int failed = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    kill(server, SIGTERM);
    assert_int_equal(waitpid(server, &status, 0), server);
    assert_int_equal(failed, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0); // it ended by itself, and sanitizers found nothing
}

static void test_profefes_clients_see_no_difference(void **state)
{
    (void)state;
    replay(false, false);
}

static void test_nor_when_profiles_are_sealed_under_their_feet(void **state)
{
    (void)state;
    replay(true, false);
}

static void test_nor_in_a_namespace_that_is_open_to_them(void **state)
{
    (void)state;
    replay(false, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_profefes_clients_see_no_difference),
        cmocka_unit_test(test_nor_in_a_namespace_that_is_open_to_them),
        cmocka_unit_test(test_nor_when_profiles_are_sealed_under_their_feet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
