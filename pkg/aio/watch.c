#include "aio/watch.h"

#include "aio/loop_private.h"
#include "base/alloc.h"
#include "base/banned.h"

struct kp_watch {
    uv_poll_t uv; // first: freed by its address
    kp_loop_fn on_ready;
    void *user;
    int events; // asked for now
};

static void on_poll(uv_poll_t *handle, int status, int events)
{
    struct kp_watch *watch = (struct kp_watch *)handle;
    (void)events;
    if (status < 0)
        watch->events = 0; // libuv stopped by itself: the next set starts it again
    watch->on_ready(watch->user);
}

struct kp_watch *kp_watch_create(struct kp_loop *loop, int fd, kp_loop_fn on_ready, void *user)
{
    struct kp_watch *watch = KP_NEW(struct kp_watch);
    if (uv_poll_init(&loop->uv, &watch->uv, fd) != 0) {
        kp_free(watch);
        return NULL;
    }
    watch->on_ready = on_ready;
    watch->user = user;
    return watch;
}

void kp_watch_set(struct kp_watch *watch, bool readable, bool writable)
{
    int events = (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0);
    if (events == watch->events)
        return;
    watch->events = events;
    if (events == 0)
        uv_poll_stop(&watch->uv);
    else
        uv_poll_start(&watch->uv, events, on_poll);
}

void kp_watch_destroy(struct kp_watch *watch)
{
    if (watch == NULL)
        return;
    uv_poll_stop(&watch->uv); // lets go of the descriptor now, not when the handle is closed
    kp_uv_close_and_free((uv_handle_t *)&watch->uv);
}
