// The view on a real terminal: a pseudo-terminal with a child that runs the loop.
#include "cli/flameview_fixture.h"
#include "cli/terminal_fixture.h"

#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include "base/text.h"
#include "cli/flameview_run.h"
#include "cli/terminal.h"
#include "base/banned.h"

static const char *env_of_test(const char *name)
{
    return getenv(name);
}

static int look(void)
{
    struct kp_viewing v;
    struct kp_error err = {0};
    kp_viewing_folded(&v, "main.main;main.serve;net/http.read 40|main.main;main.log 30|runtime.gc 30", NULL);
    struct kp_flameview_options options = {.flame = v.flame,
        .title = "a title",
        .colors = kp_terminal_colors(env_of_test),
        .in_fd = 0,
        .out_fd = 1,
        .esc_ms = getenv("TEST_ESC_MS") ? (int)strtol(getenv("TEST_ESC_MS"), NULL, 10) : 0};
    int rc = kp_flameview_run(&options, &err);
    kp_viewing_close(&v);
    printf("left with %s\n", rc == 0 ? "nothing" : err.text);
    fflush(stdout);
    return rc == 0 ? 0 : 1;
}

// What stops the child by itself, while it has the terminal.
static int take_and(void (*then)(void))
{
    struct kp_error err = {0};
    if (kp_terminal_enter(0, 1, &err) < 0)
        return 3;
    then();
    return 4;
}

static void leave_by_abort(void)
{
    abort();
}

static void leave_by_exit(void)
{
    exit(7);
}

static int aborts(void)
{
    return take_and(leave_by_abort);
}

static int exits(void)
{
    return take_and(leave_by_exit);
}

// A shell with one job, which is begun in the foreground; a line from the user brings it back to there.
static int shell(void)
{
    int status;
    char line[16];
    signal(SIGTTOU, SIG_IGN);
    pid_t job = fork();
    if (job == 0) {
        setpgid(0, 0);
        tcsetpgrp(0, getpid());
        signal(SIGTTOU, SIG_DFL);
        exit(look());
    }
    if (waitpid(job, &status, WUNTRACED) != job || !WIFSTOPPED(status))
        return 5;
    tcsetpgrp(0, getpgrp());
    printf("stopped by %s\n", strsignal(WSTOPSIG(status)));
    fflush(stdout);
    if (read(0, line, sizeof line) <= 0)
        return 6;
    tcsetpgrp(0, job);
    kill(-job, SIGCONT);
    return waitpid(job, &status, 0) == job && WIFEXITED(status) ? WEXITSTATUS(status) : 7;
}

static void test_quit(void **state)
{
    (void)state;
    kp_seat_begin(look, 80, 24);
    kp_seat_wait_for("net/http.read");
    kp_seat_wait_for("q quit");
    kp_seat_assert_taken();
    kp_seat_type("jj");
    kp_seat_wait_for("total 40ns 40.00%");
    kp_seat_type("q");
    assert_int_equal(kp_seat_wait_for_end(), 0);
    kp_seat_wait_for("left with nothing");
    kp_seat_assert_given_back();
    kp_seat_end();
}

static void end_by_signal(int signal, const char *key, const char *expected)
{
    kp_seat_begin(look, 80, 24);
    kp_seat_wait_for("q quit");
    kp_seat_assert_taken();
    if (key != NULL)
        kp_seat_type(key);
    else
        kill(kp_seat.child, signal);
    int status = kp_seat_wait_for_end();
    assert_true(WIFEXITED(status));
    kp_seat_wait_for(expected);
    kp_seat_assert_given_back();
    kp_seat_end();
}

static void test_ctrl_c(void **state)
{
    (void)state;
    end_by_signal(SIGINT, "\x03", "left with stopped by Interrupt");
    end_by_signal(SIGINT, NULL, "left with stopped by Interrupt");
}

static void test_terminated(void **state)
{
    (void)state;
    end_by_signal(SIGTERM, NULL, "left with stopped by Terminated");
    end_by_signal(SIGHUP, NULL, "left with stopped by Hangup");
}

static void test_crash(void **state)
{
    (void)state;
    kp_seat_begin(aborts, 80, 24);
    int status = kp_seat_wait_for_end();
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    kp_seat_assert_given_back();
    kp_seat_end();
    kp_seat_begin(exits, 80, 24);
    status = kp_seat_wait_for_end();
    assert_int_equal(WEXITSTATUS(status), 7);
    kp_seat_assert_given_back();
    kp_seat_end();
}

// Ctrl-\, for which there is no reason but that the program hangs.
static void test_ctrl_backslash(void **state)
{
    (void)state;
    kp_seat_begin(look, 80, 24);
    kp_seat_wait_for("q quit");
    kp_seat_type("\x1c");
    int status = kp_seat_wait_for_end();
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGQUIT);
    kp_seat_assert_given_back();
    kp_seat_end();
}

static void test_stop_and_continue(void **state)
{
    (void)state;
    int status;
    kp_seat_begin(look, 80, 24);
    kp_seat_wait_for("q quit");
    kill(kp_seat.child, SIGSTOP);
    assert_int_equal(waitpid(kp_seat.child, &status, WUNTRACED), kp_seat.child);
    assert_true(WIFSTOPPED(status));
    while (kp_seat_pump(0))
        ;
    kp_vt_clear(&kp_seat.vt); // somebody else used the terminal
    assert_int_equal(tcsetattr(kp_seat.fd, TCSANOW, &kp_seat.before), 0);
    kill(kp_seat.child, SIGCONT);
    kp_seat_wait_for("q quit");
    kp_seat_wait_for("net/http.read");
    kp_seat_assert_taken();
    kp_seat_type("q");
    assert_int_equal(kp_seat_wait_for_end(), 0);
    kp_seat_assert_given_back();
    kp_seat_end();
}

static void test_ctrl_z(void **state)
{
    (void)state;
    kp_seat_begin(shell, 80, 24);
    kp_seat_wait_for("q quit");
    kp_seat_type("jj");
    kp_seat_wait_for("total 40ns");
    kp_seat_type("\x1a");
    kp_seat_wait_for("stopped by Stopped");
    kp_seat_assert_given_back();
    kp_vt_clear(&kp_seat.vt);
    kp_seat_type("fg\n");           // echoed, as the terminal does that again
    kp_seat_wait_for("total 40ns"); // as it was left
    kp_seat_assert_taken();
    kp_seat_type("q");
    assert_int_equal(kp_seat_wait_for_end(), 0);
    kp_seat_assert_given_back();
    kp_seat_end();
}

static void resize(int width, int height)
{
    struct winsize size = {.ws_col = (unsigned short)width, .ws_row = (unsigned short)height};
    while (kp_seat_pump(0))
        ;
    kp_seat.vt.width = width;
    kp_seat.vt.height = height;
    kp_vt_clear(&kp_seat.vt);
    assert_int_equal(ioctl(kp_seat.fd, TIOCSWINSZ, &size), 0); // the kernel sends SIGWINCH
}

static void test_resize(void **state)
{
    (void)state;
    kp_seat_begin(look, 80, 24);
    kp_seat_wait_for("q quit");
    resize(100, 30);
    kp_seat_wait_for("\narrows move  Enter zoom  Esc out  / search  Tab table  ? help  q quit\n");
    resize(20, 5);
    kp_seat_wait_for("arrows move  Enter \xe2\x80\xa6\n");
    resize(1, 1);
    resize(300, 100);
    kp_seat_wait_for("q quit");
    kp_auto_free char *text = kp_vt_text(&kp_seat.vt);
    const char *line = strstr(text, "arrows move");
    int rows = 0;
    for (const char *c = text; c < line; c++)
        rows += *c == '\n';
    assert_int_equal(rows, 99);
    kp_seat_type("q");
    assert_int_equal(kp_seat_wait_for_end(), 0);
    kp_seat_end();
}

static void test_split_sequences(void **state)
{
    (void)state;
    setenv("TEST_ESC_MS", "60000", 1);
    kp_seat_begin(look, 80, 24);
    kp_seat_wait_for("q quit");
    kp_seat_type_slowly("\x1b[B");
    kp_seat_wait_for("main.main\ntotal 70ns");
    kp_seat_type_slowly("\x1bOB");
    kp_seat_wait_for("main.serve\ntotal 40ns");
    kp_seat_type_slowly("\x1b[A");
    kp_seat_wait_for("main.main\ntotal 70ns");
    kp_seat_type("q");
    assert_int_equal(kp_seat_wait_for_end(), 0);
    unsetenv("TEST_ESC_MS");
    kp_seat_begin(look, 80, 24);
    kp_seat_wait_for("q quit");
    kp_seat_type("jj\r");
    kp_seat_wait_for("all > main.main > main.serve");
    kp_seat_type("\x1b"); // alone it is a key
    kp_seat_wait_for("\nall\nall");
    kp_seat_type("q");
    assert_int_equal(kp_seat_wait_for_end(), 0);
    kp_seat_end();
}

static void colors_of(const char *name, const char *value, bool expected)
{
    setenv(name, value, 1);
    kp_seat_begin(look, 80, 24);
    kp_seat_wait_for("q quit");
    kp_seat_type("jj/serve\r\tss\t?x");
    kp_seat_type("q");
    assert_int_equal(kp_seat_wait_for_end(), 0);
    assert_int_equal(kp_seat.vt.has_color, expected);
    kp_seat_end();
}

static void test_no_color(void **state)
{
    (void)state;
    colors_of("TERM", "xterm-256color", true);
    colors_of("TERM", "linux", true);
    colors_of("COLORTERM", "truecolor", true);
    colors_of("NO_COLOR", "1", false);
    unsetenv("NO_COLOR");
    unsetenv("COLORTERM");
    setenv("TERM", "xterm-256color", 1);
}

static void test_terminal_gone(void **state)
{
    (void)state;
    int status;
    kp_seat_begin(look, 80, 24);
    kp_seat_wait_for("q quit");
    close(kp_seat.fd);
    assert_int_equal(waitpid(kp_seat.child, &status, 0), kp_seat.child);
    assert_true(WIFEXITED(status) || WIFSIGNALED(status));
}

static const char *fake[3]; // NO_COLOR, TERM, COLORTERM

static const char *fake_env(const char *name)
{
    return kp_streq(name, "NO_COLOR") ? fake[0] : kp_streq(name, "TERM") ? fake[1] : fake[2];
}

static void test_colors(void **state)
{
    (void)state;
    static const struct {
        const char *env[3];
        enum kp_colors colors;
    } cases[] = {
        {{NULL, "xterm", NULL}, KP_COLORS_16},
        {{NULL, "screen-256color", NULL}, KP_COLORS_256},
        {{NULL, "xterm-256color", "truecolor"}, KP_COLORS_TRUE},
        {{NULL, "xterm", "24bit"}, KP_COLORS_TRUE},
        {{NULL, "xterm-direct", NULL}, KP_COLORS_TRUE},
        {{"", "xterm", "yes"}, KP_COLORS_16}, // empty is not set
        {{"1", "xterm-256color", "truecolor"}, KP_COLORS_NONE},
        {{"0", "xterm", NULL}, KP_COLORS_NONE},
        {{NULL, "dumb", "truecolor"}, KP_COLORS_NONE},
        {{NULL, "vt100", NULL}, KP_COLORS_NONE},
        {{NULL, "", NULL}, KP_COLORS_NONE},
        {{NULL, NULL, "truecolor"}, KP_COLORS_NONE},
    };
    for (size_t i = 0; i < KP_COUNT(cases); i++) {
        memcpy(fake, cases[i].env, sizeof fake);
        assert_int_equal(kp_terminal_colors(fake_env), cases[i].colors);
    }
}

static void test_usable(void **state)
{
    (void)state;
    int master, slave, pipes[2], width, height;
    struct winsize none = {0};
    assert_int_equal(openpty(&master, &slave, NULL, NULL, &none), 0);
    assert_int_equal(pipe(pipes), 0);
    assert_true(kp_terminal_is_usable(slave));
    assert_false(kp_terminal_is_usable(pipes[0]));
    setenv("TERM", "dumb", 1);
    assert_false(kp_terminal_is_usable(slave));
    setenv("TERM", "xterm-256color", 1);
    kp_terminal_size(slave, &width, &height); // it does not know
    assert_int_equal(width, 80);
    assert_int_equal(height, 24);
    struct kp_error err = {0};
    assert_true(kp_terminal_enter(pipes[0], pipes[1], &err) < 0);
    assert_non_null(strstr(err.text, "not a terminal"));
    kp_terminal_leave();
    close(master);
    close(slave);
    close(pipes[0]);
    close(pipes[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quit),
        cmocka_unit_test(test_ctrl_c),
        cmocka_unit_test(test_terminated),
        cmocka_unit_test(test_crash),
        cmocka_unit_test(test_ctrl_backslash),
        cmocka_unit_test(test_stop_and_continue),
        cmocka_unit_test(test_ctrl_z),
        cmocka_unit_test(test_resize),
        cmocka_unit_test(test_split_sequences),
        cmocka_unit_test(test_no_color),
        cmocka_unit_test(test_terminal_gone),
        cmocka_unit_test(test_colors),
        cmocka_unit_test(test_usable),
    };
    setenv("TERM", "xterm-256color", 1);
    unsetenv("NO_COLOR");
    unsetenv("COLORTERM");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
