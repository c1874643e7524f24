// The event loop (libuv). One loop thread; everything that is not a job runs on it, and no callback may hold
// it for more than 5 ms. Objects made here are destroyed with kp_x_destroy() at any time, also from inside
// their own callback; the loop frees them when libuv lets go.
#ifndef KP_AIO_LOOP_H
#define KP_AIO_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct kp_loop;
struct kp_timer;
struct kp_signal;
struct kp_wake;

struct kp_loop *kp_loop_create(void);
// Runs what is still closing, then frees. Every object on it must have been destroyed before.
void kp_loop_destroy(struct kp_loop *loop);
void kp_loop_run(struct kp_loop *loop); // until kp_loop_stop()
void kp_loop_stop(struct kp_loop *loop);
// Runs until *done becomes true or deadline_ms from now have passed; returns *done. For tests and shutdown.
bool kp_loop_run_until(struct kp_loop *loop, const bool *done, int64_t deadline_ms);
void *kp_loop_uv(struct kp_loop *loop); // uv_loop_t *, for http only

// Monotonic, cached per turn of the loop.
int64_t kp_loop_mono_ms(struct kp_loop *loop);

typedef void (*kp_loop_fn)(void *user);

// A timer that is not running. start() replaces what was set; repeat_ms 0 = once. after_ms 0: with the next
// turn, once sockets were served, in the order of the starts; one that starts itself again so runs once a
// turn. The callback may destroy the timer.
struct kp_timer *kp_timer_create(struct kp_loop *loop, kp_loop_fn on_timer, void *user);
void kp_timer_start(struct kp_timer *timer, int64_t after_ms, int64_t repeat_ms);
void kp_timer_stop(struct kp_timer *timer);
bool kp_timer_active(const struct kp_timer *timer);
void kp_timer_destroy(struct kp_timer *timer); // NULL is fine

struct kp_signal *kp_signal_create(struct kp_loop *loop, int signum, kp_loop_fn on_signal, void *user);
void kp_signal_destroy(struct kp_signal *signal);

// Wakes the loop from any thread; several wakes may become one callback.
struct kp_wake *kp_wake_create(struct kp_loop *loop, kp_loop_fn on_wake, void *user);
void kp_wake_send(struct kp_wake *wake); // thread-safe
void kp_wake_destroy(struct kp_wake *wake);

// How long the caller may work in this turn, less what the turn took already, in us; at least a little. For
// work that is cut into slices: do some until that is over, then go on by a timer after 0 ms.
int64_t kp_loop_slice_us(struct kp_loop *loop);

// Longest time one turn of the loop held it since the last call, sockets and timers, in ms (a metric; then
// reset).
double kp_loop_take_max_hold_ms(struct kp_loop *loop);

#endif
