// Jobs: pure work on owned input, in libuv's pool. The loop thread hands over `arg`, the pool runs `work`,
// the loop gets `done` once. Two queues so that short work is never stuck behind long work: at most pool size
// - 1 long jobs run.
#ifndef KP_AIO_JOB_H
#define KP_AIO_JOB_H

#include <stdbool.h>

#include "aio/loop.h"

enum kp_job_kind { KP_JOB_SHORT, KP_JOB_LONG };

// done may be NULL. Always called on the loop thread, never from inside kp_job_run().
void kp_job_run(
    struct kp_loop *loop, enum kp_job_kind kind, void (*work)(void *arg), void (*done)(void *arg), void *arg);
// Jobs handed over whose done has not run yet.
int kp_job_count(struct kp_loop *loop);

// A single writer thread with a queue, for work that must keep its order (the store's log). Otherwise as
// kp_job_run.
struct kp_worker;
struct kp_worker *kp_worker_create(struct kp_loop *loop, const char *name);
void kp_worker_run(struct kp_worker *worker, void (*work)(void *arg), void (*done)(void *arg), void *arg);
// Finishes what is queued (blocking), delivers every done, then frees. Call on the loop thread.
void kp_worker_destroy(struct kp_worker *worker);

#endif
