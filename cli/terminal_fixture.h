// A child on a pseudo-terminal, and what the one who sits before it sees and types.
#ifndef KP_CLI_TERMINAL_FIXTURE_H
#define KP_CLI_TERMINAL_FIXTURE_H

#include "cli/vt_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>

#include "base/clock.h"

#define KP_PATIENCE_MS 60000 // nothing here takes long; a wait that fails says what was seen

struct kp_seat {
    int fd; // the other side of the terminal
    pid_t child;
    struct kp_vt vt;
    struct termios before;
};

static struct kp_seat kp_seat;

static inline void kp_seat_begin(int (*program)(void), int width, int height)
{
    struct winsize size = {.ws_col = (unsigned short)width, .ws_row = (unsigned short)height};
    kp_vt_init(&kp_seat.vt, width, height);
    int slave;
    assert_int_equal(openpty(&kp_seat.fd, &slave, NULL, NULL, &size), 0);
    assert_int_equal(tcgetattr(slave, &kp_seat.before), 0);
    kp_seat.child = fork();
    if (kp_seat.child == 0) {
        close(kp_seat.fd);
        login_tty(slave);
        exit(program());
    }
    close(slave);
    fcntl(kp_seat.fd, F_SETFL, O_NONBLOCK);
}

// Feeds what comes next to the small terminal; false: there is no more.
static inline bool kp_seat_pump(int timeout_ms)
{
    char bytes[4096];
    struct pollfd p = {.fd = kp_seat.fd, .events = POLLIN};
    if (poll(&p, 1, timeout_ms) <= 0)
        return false;
    ssize_t n = read(kp_seat.fd, bytes, sizeof bytes);
    for (ssize_t i = 0; i < n; i++)
        if (bytes[i] == '\n' || bytes[i] == '\r') // printed behind the view
            kp_seat.vt.x = 0, kp_seat.vt.y += bytes[i] == '\n' && kp_seat.vt.y + 1 < kp_seat.vt.height;
        else
            kp_vt_byte(&kp_seat.vt, bytes[i]);
    return n > 0 || (n < 0 && errno == EAGAIN);
}

static inline void kp_seat_wait_for(const char *text)
{
    int64_t until = kp_mono_ms() + KP_PATIENCE_MS;
    for (;;) {
        kp_auto_free char *seen = kp_vt_text(&kp_seat.vt);
        if (strstr(seen, text) != NULL)
            return;
        if (!kp_seat_pump(1000) && kp_mono_ms() > until)
            fail_msg("'%s' was not seen:\n%s", text, seen);
    }
}

static inline void kp_seat_type(const char *bytes)
{
    assert_int_equal(write(kp_seat.fd, bytes, strlen(bytes)), (ssize_t)strlen(bytes));
}

// A byte at a time.
static inline void kp_seat_type_slowly(const char *bytes)
{
    for (; *bytes != '\0'; bytes++) {
        char byte[2] = {*bytes, '\0'};
        kp_seat_type(byte);
        while (kp_seat_pump(10))
            ;
    }
}

// Until the child has ended; returns its status.
static inline int kp_seat_wait_for_end(void)
{
    int status;
    while (kp_seat_pump(KP_PATIENCE_MS))
        ;
    assert_int_equal(waitpid(kp_seat.child, &status, 0), kp_seat.child);
    return status;
}

// Modes as the terminal itself has them, by its other side.
static inline void kp_seat_assert_given_back(void)
{
    struct termios now;
    assert_int_equal(tcgetattr(kp_seat.fd, &now), 0);
    assert_int_equal(now.c_lflag, kp_seat.before.c_lflag);
    assert_int_equal(now.c_iflag, kp_seat.before.c_iflag);
    assert_int_equal(now.c_oflag, kp_seat.before.c_oflag);
    assert_false(kp_seat.vt.is_alternate);
    assert_false(kp_seat.vt.has_mouse);
    assert_true(kp_seat.vt.has_cursor);
    assert_true(kp_seat.vt.wraps);
    assert_string_equal(kp_seat.vt.pen, "");
}

static inline void kp_seat_assert_taken(void)
{
    struct termios now;
    assert_int_equal(tcgetattr(kp_seat.fd, &now), 0);
    assert_int_equal(now.c_lflag & (ICANON | ECHO), 0);
    assert_true(kp_seat.vt.is_alternate);
    assert_false(kp_seat.vt.has_cursor);
}

static inline void kp_seat_end(void)
{
    close(kp_seat.fd);
}

#endif
