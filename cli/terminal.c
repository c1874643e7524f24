#include "cli/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/text.h"
#include "base/banned.h"

// alternate screen, no cursor, no wrapping, clicks in SGR form; and back
#define ENTER "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[?1000h\x1b[?1006h"
#define LEAVE "\x1b[?1006l\x1b[?1000l\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"

// What the loop is told of, and what ends the process with a core or a message.
static const int told[] = {SIGINT, SIGTERM, SIGHUP, SIGTSTP, SIGCONT, SIGWINCH};
static const int fatal[] = {SIGQUIT, SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};

// Handlers of signals reach nothing else.
static struct {
    volatile sig_atomic_t is_entered;
    int in_fd, out_fd;
    int pipe[2];
    bool has_pipe, has_exit;
    struct termios before, raw;
    struct sigaction told_before[KP_COUNT(told)], fatal_before[KP_COUNT(fatal)];
} terminal;

bool kp_terminal_is_usable(int fd)
{
    const char *term = getenv("TERM");
    return isatty(fd) && term != NULL && term[0] != '\0' && !kp_streq(term, "dumb");
}

enum kp_colors kp_terminal_colors(const char *(*env)(const char *name))
{
    static const char *const without[] = {"dumb", "vt100", "vt102", "vt220", "vt320"};
    const char *no_color = env("NO_COLOR"), *term = env("TERM"), *colorterm = env("COLORTERM");
    if ((no_color != NULL && no_color[0] != '\0') || term == NULL || term[0] == '\0')
        return KP_COLORS_NONE;
    for (size_t i = 0; i < KP_COUNT(without); i++)
        if (kp_streq(term, without[i]))
            return KP_COLORS_NONE;
    if (kp_streq(colorterm, "truecolor") || kp_streq(colorterm, "24bit") || kp_ends_with(term, "-direct"))
        return KP_COLORS_TRUE;
    return strstr(term, "256color") != NULL ? KP_COLORS_256 : KP_COLORS_16;
}

void kp_terminal_size(int fd, int *ret_width, int *ret_height)
{
    struct winsize size = {0};
    bool is_known = ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0;
    *ret_width = is_known ? size.ws_col : 80;
    *ret_height = is_known ? size.ws_row : 24;
}

// From a handler as well, so only what is safe there.
static int write_all(const char *bytes, size_t n)
{
    while (n > 0) {
        ssize_t done = write(terminal.out_fd, bytes, n);
        if (done < 0 && errno == EAGAIN) {
            struct pollfd p = {.fd = terminal.out_fd, .events = POLLOUT};
            (void)poll(&p, 1, 1000);
        } else if (done < 0 && errno != EINTR) {
            return -1;
        }
        bytes += done > 0 ? done : 0;
        n -= done > 0 ? (size_t)done : 0;
    }
    return 0;
}

int kp_terminal_write(const char *bytes, size_t n, struct kp_error *err)
{
    if (write_all(bytes, n) < 0)
        return kp_fail(err, KP_NETWORK, "cannot draw on the terminal: %s", strerror(errno));
    return 0;
}

// In the background the terminal is somebody else's: to touch it would also stop the process.
static bool is_ours(void)
{
    pid_t foreground = tcgetpgrp(terminal.in_fd);
    return foreground < 0 || foreground == getpgrp();
}

static void give_back(int when)
{
    if (!terminal.is_entered)
        return;
    terminal.is_entered = 0;
    if (!is_ours())
        return;
    (void)write_all(LEAVE, sizeof LEAVE - 1);
    (void)tcsetattr(terminal.in_fd, when, &terminal.before);
}

static int take_over(void)
{
    if (tcsetattr(terminal.in_fd, TCSANOW, &terminal.raw) < 0)
        return -1;
    terminal.is_entered = 1;
    return write_all(ENTER, sizeof ENTER - 1);
}

static void on_told(int signal)
{
    int saved = errno;
    unsigned char byte = (unsigned char)signal;
    ssize_t n = write(terminal.pipe[1], &byte, 1); // a full pipe wakes the loop as well
    (void)n;
    errno = saved;
}

// The handler was reset before: the signal ends the process now.
static void on_fatal(int signal)
{
    give_back(TCSANOW);
    raise(signal);
}

static void on_exit_of_process(void)
{
    give_back(TCSANOW);
}

static void listen_to(int signal, void (*handler)(int), int flags, struct sigaction *ret_before)
{
    struct sigaction action = {.sa_flags = flags};
    action.sa_handler = handler;
    sigemptyset(&action.sa_mask);
    (void)sigaction(signal, &action, ret_before);
}

static void listen_to_all(void)
{
    for (size_t i = 0; i < KP_COUNT(told); i++)
        listen_to(told[i], on_told, SA_RESTART, &terminal.told_before[i]);
    for (size_t i = 0; i < KP_COUNT(fatal); i++)
        listen_to(fatal[i], on_fatal, (int)SA_RESETHAND | SA_NODEFER, &terminal.fatal_before[i]);
}

static void listen_no_more(void)
{
    for (size_t i = 0; i < KP_COUNT(told); i++)
        (void)sigaction(told[i], &terminal.told_before[i], NULL);
    for (size_t i = 0; i < KP_COUNT(fatal); i++)
        (void)sigaction(fatal[i], &terminal.fatal_before[i], NULL);
}

static void make_raw(void)
{
    terminal.raw = terminal.before;
    terminal.raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ECHONL | IEXTEN); // ISIG stays: Ctrl-C, Ctrl-Z
    terminal.raw.c_iflag &= ~(tcflag_t)(IXON | ICRNL | INLCR | IGNCR | ISTRIP);
    terminal.raw.c_cc[VMIN] = 1;
    terminal.raw.c_cc[VTIME] = 0;
}

int kp_terminal_enter(int in_fd, int out_fd, struct kp_error *err)
{
    if (terminal.has_pipe)
        return kp_fail(err, KP_CONFLICT, "the terminal is in use already");
    terminal.in_fd = in_fd;
    terminal.out_fd = out_fd;
    if (tcgetattr(in_fd, &terminal.before) < 0)
        return kp_fail_errno(err, errno, "cannot read keys: not a terminal");
    if (pipe2(terminal.pipe, O_CLOEXEC | O_NONBLOCK) < 0)
        return kp_fail_errno(err, errno, "cannot make a pipe for signals");
    terminal.has_pipe = true;
    make_raw();
    if (!terminal.has_exit)
        terminal.has_exit = atexit(on_exit_of_process) == 0;
    listen_to_all();
    if (take_over() < 0) {
        int saved = errno;
        kp_terminal_leave();
        return kp_fail_errno(err, saved, "cannot take over the terminal");
    }
    return 0;
}

void kp_terminal_leave(void)
{
    if (!terminal.has_pipe)
        return;
    give_back(TCSAFLUSH); // keys that were not read are not for the shell
    listen_no_more();
    close(terminal.pipe[0]);
    close(terminal.pipe[1]);
    terminal.has_pipe = false;
}

bool kp_terminal_is_entered(void)
{
    return terminal.is_entered;
}

int kp_terminal_signal_fd(void)
{
    return terminal.pipe[0];
}

int kp_terminal_next_signal(void)
{
    unsigned char signal;
    return read(terminal.pipe[0], &signal, 1) == 1 ? signal : 0;
}

void kp_terminal_suspend(void)
{
    struct sigaction ours;
    give_back(TCSANOW);
    listen_to(SIGTSTP, SIG_DFL, 0, &ours);
    raise(SIGTSTP);
    (void)sigaction(SIGTSTP, &ours, NULL);
    kp_terminal_reenter();
}

void kp_terminal_reenter(void)
{
    if (is_ours())
        (void)take_over();
}
