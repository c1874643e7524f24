#include "cli/flameview_run.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "cli/flameview.h"
#include "cli/terminal.h"
#include "base/banned.h"

#define MAX_FRAME (16u << 20) // bytes of one: 1000 x 500 cells that all differ in style
#define ESC_MS    100
#define CTRL_L    12

struct run {
    const struct kp_flameview_options *options;
    struct kp_flameview *view;
    struct kp_screen screen;
    struct kp_strbuf out;
    struct kp_keys keys;
    bool should_draw, is_done;
    int rc;
};

static void end(struct run *run, int rc)
{
    run->is_done = true;
    run->rc = rc;
}

// Asked before every frame: a SIGWINCH can come late.
static void resize(struct run *run)
{
    int width, height;
    kp_terminal_size(run->options->out_fd, &width, &height);
    width = width < KP_SCREEN_MAX_WIDTH ? width : KP_SCREEN_MAX_WIDTH;
    height = height < KP_SCREEN_MAX_HEIGHT ? height : KP_SCREEN_MAX_HEIGHT;
    if (run->screen.width == width && run->screen.height == height)
        return;
    kp_screen_resize(&run->screen, width, height);
    kp_flameview_resize(run->view, width, height);
    run->should_draw = true;
}

static void draw(struct run *run, struct kp_error *err)
{
    if (!kp_terminal_is_entered())
        return;
    resize(run);
    if (!run->should_draw)
        return;
    run->should_draw = false;
    kp_strbuf_clear(&run->out);
    kp_flameview_draw(run->view, &run->screen);
    kp_screen_flush(&run->screen, run->options->colors, &run->out);
    int rc = run->out.len > 0 ? kp_terminal_write(run->out.data, run->out.len, err) : 0;
    if (rc < 0)
        end(run, rc);
}

static void draw_whole(struct run *run)
{
    kp_screen_forget(&run->screen);
    run->should_draw = true;
}

static void take_signals(struct run *run, struct kp_error *err)
{
    for (int signal = kp_terminal_next_signal(); signal != 0; signal = kp_terminal_next_signal())
        switch (signal) {
        case SIGTSTP:
            kp_terminal_suspend();
            draw_whole(run);
            break;
        case SIGCONT:
            kp_terminal_reenter();
            draw_whole(run);
            break;
        case SIGWINCH: // draw() looks
            break;
        default:
            end(run, kp_fail(err, KP_CANCELED, "stopped by %s", strsignal(signal)));
            break;
        }
}

static void take_keys(struct run *run, const struct kp_key *keys, size_t n)
{
    for (size_t i = 0; i < n && !run->is_done; i++) {
        if (keys[i].code == KP_KEY_RUNE && keys[i].rune == CTRL_L)
            draw_whole(run);
        enum kp_flameview_answer answer = kp_flameview_key(run->view, &keys[i]);
        run->should_draw |= answer == KP_FLAMEVIEW_DRAW;
        if (answer == KP_FLAMEVIEW_QUIT)
            end(run, 0);
    }
}

static void take_bytes(struct run *run, struct kp_error *err)
{
    unsigned char bytes[512];
    struct kp_key keys[2];
    ssize_t n = read(run->options->in_fd, bytes, sizeof bytes);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n <= 0)
        end(run, kp_fail(err, KP_NETWORK, "the terminal is gone"));
    for (ssize_t i = 0; i < n && !run->is_done; i++)
        take_keys(run, keys, kp_keys_add(&run->keys, bytes[i], keys));
}

static void turn(struct run *run, struct kp_error *err)
{
    struct pollfd fds[] = {
        {.fd = kp_terminal_signal_fd(), .events = POLLIN}, {.fd = run->options->in_fd, .events = POLLIN}};
    int esc_ms = run->options->esc_ms > 0 ? run->options->esc_ms : ESC_MS;
    draw(run, err);
    if (run->is_done)
        return;
    int n = poll(fds, 2, kp_keys_is_pending(&run->keys) ? esc_ms : -1);
    struct kp_key keys[2];
    if (n < 0 && errno != EINTR)
        end(run, kp_fail_errno(err, errno, "cannot wait for keys"));
    if (n == 0)
        take_keys(run, keys, kp_keys_timeout(&run->keys, keys));
    if (n <= 0)
        return;
    if (fds[0].revents != 0)
        take_signals(run, err);
    if (fds[1].revents != 0 && !run->is_done)
        take_bytes(run, err);
}

int kp_flameview_run(const struct kp_flameview_options *options, struct kp_error *err)
{
    struct run run = {.options = options, .should_draw = true};
    int rc = kp_terminal_enter(options->in_fd, options->out_fd, err);
    if (rc < 0)
        return rc;
    run.view = kp_flameview_create(options->flame, options->title, options->colors != KP_COLORS_NONE);
    kp_screen_init(&run.screen);
    kp_strbuf_init(&run.out, MAX_FRAME);
    while (!run.is_done)
        turn(&run, err);
    kp_terminal_leave();
    kp_strbuf_finish(&run.out);
    kp_screen_finish(&run.screen);
    kp_flameview_destroy(run.view);
    return run.rc;
}
