// Malformed, ambiguous and hostile requests from testdata/attacks.py against a server in a process of its
// own.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "aio/loop.h"
#include "http/server.h"
#include "base/banned.h"

static void on_health(struct kp_http_exchange *x, void *user)
{
    (void)user;
    kp_http_reply_text(x, 200, "text/plain", "ok");
}

static void on_upload(struct kp_http_exchange *x, void *user)
{
    (void)user;
    kp_http_reply_text(x, 200, "application/json", "{}");
}

static void on_terminate(void *user)
{
    kp_loop_stop(user);
}

static const struct kp_http_route routes[] = {
    {.method = "GET", .path = "/healthz", .handler = on_health},
    {.method = "POST", .path = "/upload", .handler = on_upload, .max_body = 16 * 1024 * 1024},
    {.method = "GET", .path = "/smuggled", .handler = on_health},
    {0},
};

static int serve(int port_fd)
{
    struct kp_loop *loop = kp_loop_create();
    struct kp_error err = {0};
    struct kp_http_server_options options = {.max_connections = 64};
    struct kp_http_server *server = kp_http_server_create(loop, &options, &err);
    struct kp_http_listener listener = {.address = "127.0.0.1:0"};
    int port;
    if (server == NULL || kp_http_server_listen(server, &listener, routes, NULL, NULL, &port, &err) != 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    struct kp_signal *terminate = kp_signal_create(loop, SIGTERM, on_terminate, loop);
    if (write(port_fd, &port, sizeof port) != sizeof port)
        return 1;
    kp_loop_run(loop);
    kp_signal_destroy(terminate);
    kp_http_server_close(server);
    kp_loop_destroy(loop);
    kp_http_server_free(server);
    return 0;
}

static pid_t start_server(int *ret_port)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        exit(serve(fds[1]));
    }
    close(fds[1]);
    ssize_t n = read(fds[0], ret_port, sizeof *ret_port);
    close(fds[0]);
    assert_int_equal(n, sizeof *ret_port);
    return pid;
}

static void test_attacks_are_answered_as_they_must(void **state)
{
    (void)state;
    char port_text[16], pid_text[16];
    int port, status = 0;
    if (access("/usr/bin/python3", X_OK) != 0) {
        print_message("python3 is not installed, the attacks are skipped\n");
        skip();
    }
    pid_t server = start_server(&port);
    snprintf(port_text, sizeof port_text, "%d", port);
    snprintf(pid_text, sizeof pid_text, "%d", (int)server);
    pid_t attacker = fork();
    assert_true(attacker >= 0);
    if (attacker == 0) {
        execl("/usr/bin/python3", "python3", KP_TESTDATA "/attacks.py", "127.0.0.1", port_text, "--pid",
            pid_text, "--upload", "/upload", (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(attacker, &status, 0), attacker);
    int attacks = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    kill(server, SIGTERM);
    assert_int_equal(waitpid(server, &status, 0), server);
    assert_int_equal(attacks, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0); // it ended by itself, and sanitizers found nothing
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attacks_are_answered_as_they_must),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
