#include "aio/loop.h"

#include <stdlib.h>

#include "aio/loop_private.h"
#include "base/alloc.h"
#include "base/banned.h"

#define SHARE_US 2000 // of a turn, for work that is cut into slices
#define LEAST_US 500  // that each of them has in any case: all get on, also when sockets take the turn

// ---- turns ----

// A turn: from when the loop stops waiting, over sockets and timers, until it waits again.
static uint64_t turn_ns(struct kp_loop *loop)
{
    uint64_t waited = uv_metrics_idle_time(&loop->uv) - loop->turn_waited_ns;
    return uv_hrtime() - loop->turn_start_ns - waited;
}

static void on_prepare(uv_prepare_t *handle)
{
    struct kp_loop *loop = handle->data;
    double held_ms = loop->turn_start_ns == 0 ? 0 : (double)turn_ns(loop) / 1e6;
    if (held_ms > loop->max_hold_ms)
        loop->max_hold_ms = held_ms;
    loop->turn_waited_ns = uv_metrics_idle_time(&loop->uv);
    loop->turn_start_ns = uv_hrtime();
    uv_update_time(&loop->uv); // else it waits for timers as if no time had passed in this turn
}

int64_t kp_loop_slice_us(struct kp_loop *loop)
{
    int64_t left = SHARE_US - (loop->turn_start_ns == 0 ? 0 : (int64_t)(turn_ns(loop) / 1000));
    return left > LEAST_US ? left : LEAST_US;
}

// Workers of libuv's pool: a core each, but never so few that a long job stops short ones.
static int pool_size(void)
{
    const char *set = getenv("UV_THREADPOOL_SIZE");
    long n = set != NULL ? strtol(set, NULL, 10) : 4;
    return n < 2 ? 2 : (int)n;
}

// ---- the loop ----

static void on_check(uv_check_t *handle);

struct kp_loop *kp_loop_create(void)
{
    struct kp_loop *loop = KP_NEW(struct kp_loop);
    if (uv_loop_init(&loop->uv) != 0)
        abort(); // out of descriptors at start: nothing can work
    uv_loop_configure(&loop->uv, UV_METRICS_IDLE_TIME);
    uv_prepare_init(&loop->uv, &loop->prepare);
    uv_check_init(&loop->uv, &loop->check);
    uv_idle_init(&loop->uv, &loop->idle);
    kp_list_init(&loop->soon);
    loop->prepare.data = loop->check.data = loop;
    uv_prepare_start(&loop->prepare, on_prepare);
    uv_check_start(&loop->check, on_check);
    uv_unref((uv_handle_t *)&loop->prepare);
    uv_unref((uv_handle_t *)&loop->check);
    kp_list_init(&loop->long_waiting);
    loop->max_long = pool_size() - 1;
    return loop;
}

void kp_loop_destroy(struct kp_loop *loop)
{
    if (loop == NULL)
        return;
    uv_close((uv_handle_t *)&loop->prepare, NULL);
    uv_close((uv_handle_t *)&loop->check, NULL);
    uv_close((uv_handle_t *)&loop->idle, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    int busy = uv_loop_close(&loop->uv);
    if (busy != 0)
        abort(); // an object on the loop was not destroyed: a mistake of ours
    kp_free(loop);
}

void kp_loop_run(struct kp_loop *loop)
{
    uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void kp_loop_stop(struct kp_loop *loop)
{
    uv_stop(&loop->uv);
}

// What a loop is run for: somebody's flag, or that it took too long.
struct wait {
    const bool *done;
    bool over;
};

static void on_deadline(uv_timer_t *timer)
{
    ((struct wait *)timer->data)->over = true;
}

// A turn begins with the timers: what one of them ended must not wait for the next event.
static void on_timers_ran(uv_prepare_t *handle)
{
    const struct wait *wait = handle->data;
    if (*wait->done || wait->over)
        uv_stop(handle->loop);
}

bool kp_loop_run_until(struct kp_loop *loop, const bool *done, int64_t deadline_ms)
{
    struct wait wait = {.done = done};
    uv_timer_t *timer = kp_calloc(1, sizeof *timer);
    uv_prepare_t *prepare = kp_calloc(1, sizeof *prepare);
    uv_timer_init(&loop->uv, timer);
    uv_prepare_init(&loop->uv, prepare);
    timer->data = prepare->data = &wait;
    uv_update_time(&loop->uv);
    uv_timer_start(timer, on_deadline, deadline_ms < 0 ? 0 : (uint64_t)deadline_ms, 0);
    uv_prepare_start(prepare, on_timers_ran);
    while (!*done && !wait.over)
        uv_run(&loop->uv, UV_RUN_ONCE);
    kp_uv_close_and_free((uv_handle_t *)timer);
    kp_uv_close_and_free((uv_handle_t *)prepare);
    return *done;
}

void *kp_loop_uv(struct kp_loop *loop)
{
    return &loop->uv;
}

int64_t kp_loop_mono_ms(struct kp_loop *loop)
{
    return (int64_t)uv_now(&loop->uv);
}

double kp_loop_take_max_hold_ms(struct kp_loop *loop)
{
    double held = loop->max_hold_ms;
    loop->max_hold_ms = 0;
    return held;
}

static void on_closed(uv_handle_t *handle)
{
    kp_free(handle);
}

void kp_uv_close_and_free(uv_handle_t *handle)
{
    uv_close(handle, on_closed);
}

// ---- timers ----

struct kp_timer {
    uv_timer_t uv; // first: freed by its address
    struct kp_list in_soon;
    struct kp_loop *loop;
    kp_loop_fn on_timer;
    void *user;
};

static void on_uv_timer(uv_timer_t *handle)
{
    struct kp_timer *timer = (struct kp_timer *)handle;
    timer->on_timer(timer->user);
}

// libuv runs a timer that is due at once again and again within one turn.
static void on_idle(uv_idle_t *handle)
{
    (void)handle;
}

static void start_soon(struct kp_timer *timer)
{
    kp_list_append(&timer->loop->soon, &timer->in_soon);
    uv_idle_start(&timer->loop->idle, on_idle);
}

static void on_check(uv_check_t *handle)
{
    struct kp_loop *loop = handle->data;
    struct kp_list now;
    kp_list_init(&now);
    while (!kp_list_empty(&loop->soon)) {
        struct kp_list *node = loop->soon.next;
        kp_list_remove(node);
        kp_list_append(&now, node);
    }
    while (!kp_list_empty(&now)) {
        struct kp_timer *timer = kp_container_of(now.next, struct kp_timer, in_soon);
        kp_list_remove(&timer->in_soon);
        timer->on_timer(timer->user);
    }
    if (kp_list_empty(&loop->soon))
        uv_idle_stop(&loop->idle);
}

struct kp_timer *kp_timer_create(struct kp_loop *loop, kp_loop_fn on_timer, void *user)
{
    struct kp_timer *timer = KP_NEW(struct kp_timer);
    uv_timer_init(&loop->uv, &timer->uv);
    kp_list_init(&timer->in_soon);
    timer->loop = loop;
    timer->on_timer = on_timer;
    timer->user = user;
    return timer;
}

void kp_timer_start(struct kp_timer *timer, int64_t after_ms, int64_t repeat_ms)
{
    kp_timer_stop(timer);
    if (uv_is_closing((const uv_handle_t *)&timer->uv) != 0)
        return;
    if (after_ms <= 0 && repeat_ms == 0) {
        start_soon(timer);
        return;
    }
    // libuv counts from the time it last looked: a turn that takes long would make the timer early
    uint64_t now_ms = uv_hrtime() / 1000000, seen_ms = uv_now(timer->uv.loop);
    uint64_t behind_ms = now_ms > seen_ms ? now_ms - seen_ms : 0;
    uv_timer_start(
        &timer->uv, on_uv_timer, behind_ms + (after_ms < 1 ? 1 : (uint64_t)after_ms), (uint64_t)repeat_ms);
}

void kp_timer_stop(struct kp_timer *timer)
{
    kp_list_remove(&timer->in_soon);
    uv_timer_stop(&timer->uv);
}

bool kp_timer_active(const struct kp_timer *timer)
{
    return uv_is_active((const uv_handle_t *)&timer->uv) != 0 ||
           !kp_list_empty((struct kp_list *)(uintptr_t)&timer->in_soon);
}

void kp_timer_destroy(struct kp_timer *timer)
{
    if (timer == NULL)
        return;
    kp_list_remove(&timer->in_soon);
    kp_uv_close_and_free((uv_handle_t *)&timer->uv);
}

// ---- signals ----

struct kp_signal {
    uv_signal_t uv;
    kp_loop_fn on_signal;
    void *user;
};

static void on_uv_signal(uv_signal_t *handle, int signum)
{
    struct kp_signal *signal = (struct kp_signal *)handle;
    (void)signum;
    signal->on_signal(signal->user);
}

struct kp_signal *kp_signal_create(struct kp_loop *loop, int signum, kp_loop_fn on_signal, void *user)
{
    struct kp_signal *signal = KP_NEW(struct kp_signal);
    uv_signal_init(&loop->uv, &signal->uv);
    signal->on_signal = on_signal;
    signal->user = user;
    uv_signal_start(&signal->uv, on_uv_signal, signum);
    return signal;
}

void kp_signal_destroy(struct kp_signal *signal)
{
    if (signal != NULL)
        kp_uv_close_and_free((uv_handle_t *)&signal->uv);
}

// ---- wakes ----

struct kp_wake {
    uv_async_t uv;
    kp_loop_fn on_wake;
    void *user;
};

static void on_uv_async(uv_async_t *handle)
{
    struct kp_wake *wake = (struct kp_wake *)handle;
    wake->on_wake(wake->user);
}

struct kp_wake *kp_wake_create(struct kp_loop *loop, kp_loop_fn on_wake, void *user)
{
    struct kp_wake *wake = KP_NEW(struct kp_wake);
    if (uv_async_init(&loop->uv, &wake->uv, on_uv_async) != 0)
        abort();
    wake->on_wake = on_wake;
    wake->user = user;
    return wake;
}

void kp_wake_send(struct kp_wake *wake)
{
    uv_async_send(&wake->uv);
}

void kp_wake_destroy(struct kp_wake *wake)
{
    if (wake != NULL)
        kp_uv_close_and_free((uv_handle_t *)&wake->uv);
}
