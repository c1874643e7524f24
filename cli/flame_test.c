// flame on a pseudo-terminal: the program as it is, with a profile of a file and through a pipe.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "cli/terminal_fixture.h"
#include "base/banned.h"

#define CPU KP_TESTDATA "/../../pkg/profile/testdata/corpus/etcd-cpu.pb.gz"

static int of_a_file(void)
{
    setenv("TERM", "xterm", 1);
    execl(KP_PROGRAM, "kubectl-pprof", "flame", CPU, (char *)NULL);
    return 99;
}

static int of_standard_input(void)
{
    setenv("TERM", "xterm", 1);
    int fd = open(CPU, O_RDONLY);
    dup2(fd, 0);
    execl(KP_PROGRAM, "kubectl-pprof", "flame", "-", (char *)NULL);
    return 99;
}

static int where_nothing_can_be_drawn(void)
{
    setenv("TERM", "dumb", 1);
    execl(KP_PROGRAM, "kubectl-pprof", "flame", CPU, "--limit", "3", (char *)NULL);
    return 99;
}

static int a_profile_is_no_text(void)
{
    execl(KP_PROGRAM, "kubectl-pprof", "merge", CPU, (char *)NULL);
    return 99;
}

static void test_people_walk_through_it(void **state)
{
    (void)state;
    kp_seat_begin(of_a_file, 100, 24);
    kp_seat_wait_for("etcd-cpu.pb.gz");
    kp_seat_wait_for("net/http.(*conn).serve");
    kp_seat_type("q");
    int status = kp_seat_wait_for_end();
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    kp_seat_assert_given_back();
    kp_seat_end();
}

static void test_a_pipe_leaves_the_keyboard(void **state)
{
    (void)state;
    kp_seat_begin(of_standard_input, 100, 24);
    kp_seat_wait_for("standard input");
    kp_seat_type("q");
    int status = kp_seat_wait_for_end();
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    kp_seat_end();
}

static void test_ctrl_c(void **state)
{
    (void)state;
    kp_seat_begin(of_a_file, 100, 24);
    kp_seat_wait_for("net/http.(*conn).serve");
    assert_int_equal(kill(kp_seat.child, SIGINT), 0);
    int status = kp_seat_wait_for_end();
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 130);
    kp_seat_assert_given_back();
    kp_auto_free char *seen = kp_vt_text(&kp_seat.vt);
    assert_null(strstr(seen, "error"));
    kp_seat_end();
}

static void test_text_where_nothing_can_be_drawn(void **state)
{
    (void)state;
    kp_seat_begin(where_nothing_can_be_drawn, 100, 24);
    kp_seat_wait_for("5.67s in all");
    assert_int_equal(kp_seat_wait_for_end(), 0);
    kp_seat_end();
}

static void test_bytes_go_to_no_terminal(void **state)
{
    (void)state;
    kp_seat_begin(a_profile_is_no_text, 100, 24);
    kp_seat_wait_for("-O FILE");
    int status = kp_seat_wait_for_end();
    assert_int_equal(WEXITSTATUS(status), 2);
    kp_seat_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_people_walk_through_it),
        cmocka_unit_test(test_a_pipe_leaves_the_keyboard),
        cmocka_unit_test(test_ctrl_c),
        cmocka_unit_test(test_text_where_nothing_can_be_drawn),
        cmocka_unit_test(test_bytes_go_to_no_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
