// Inside aio only: the loop's parts.
#ifndef KP_AIO_LOOP_PRIVATE_H
#define KP_AIO_LOOP_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "aio/loop.h"
#include "base/list.h"

struct kp_loop {
    uv_loop_t uv;
    uv_prepare_t prepare; // the loop is about to wait: a turn is over
    uv_check_t check;     // sockets have been served
    uv_idle_t idle;       // while a timer is soon: the loop does not wait
    struct kp_list soon;  // timers that are due with the next turn
    uint64_t turn_start_ns, turn_waited_ns;
    double max_hold_ms;
    // jobs
    int n_jobs, n_long_running, max_long;
    struct kp_list long_waiting;
};

// The handle's memory is freed when libuv lets go of it. The handle must be the first member of a kp_alloc'ed
// struct.
void kp_uv_close_and_free(uv_handle_t *handle);

#endif
