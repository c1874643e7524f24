// The exchanges recorded from profefe (testdata/profefe) against the registry in a process of its own.
#include "api/api_fixture.h"

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

static int serve(int port_fd)
{
    struct bench *b = bench_start((struct kp_api_options){0});
    struct kp_signal *terminate = kp_signal_create(b->loop, SIGTERM, on_terminate, b->loop);
    if (write(port_fd, &b->port, sizeof b->port) != sizeof b->port)
        return 1;
    kp_loop_run(b->loop);
    kp_signal_destroy(terminate);
    bench_stop(b);
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

static void test_profefes_clients_see_no_difference(void **state)
{
    (void)state;
    char url[64];
    int port, status = 0;
    if (access("/usr/bin/python3", X_OK) != 0) {
        print_message("python3 is not installed, the exchanges are skipped\n");
        skip();
    }
    pid_t server = start_server(&port);
    snprintf(url, sizeof url, "http://127.0.0.1:%d", port);
    pid_t replay = fork();
    assert_true(replay >= 0);
    if (replay == 0) {
        execl("/usr/bin/python3", "python3", "-B", KP_TESTDATA "/profefe/replay.py", url, (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(replay, &status, 0), replay);
    int failed = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    kill(server, SIGTERM);
    assert_int_equal(waitpid(server, &status, 0), server);
    assert_int_equal(failed, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0); // it ended by itself, and sanitizers found nothing
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_profefes_clients_see_no_difference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
