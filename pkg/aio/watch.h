// Readiness of a file descriptor that belongs to somebody else: a socket, a pipe.
#ifndef KP_AIO_WATCH_H
#define KP_AIO_WATCH_H

#include <stdbool.h>

#include "aio/loop.h"

struct kp_watch;

// Waits for nothing yet. NULL if the loop cannot watch the descriptor (a regular file, or somebody watches it
// already). The descriptor must stay open until kp_watch_destroy(), and becomes non-blocking.
struct kp_watch *kp_watch_create(struct kp_loop *loop, int fd, kp_loop_fn on_ready, void *user);
// What on_ready comes for; an error or the other side's end count as both. Level-triggered: on_ready comes
// again and again until the cause is gone or no longer asked for.
void kp_watch_set(struct kp_watch *watch, bool readable, bool writable);
void kp_watch_destroy(struct kp_watch *watch); // NULL is fine; before the descriptor is closed

#endif
