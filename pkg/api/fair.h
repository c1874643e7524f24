// Jobs of many namespaces side by side: of each a few are at the pool at a time, the others wait here, and
// where there may be few in all, namespaces take turns. So whoever asks for a thousand answers at once waits
// for himself; others wait for those few of his. On the loop. Private to this module.
#ifndef KP_API_FAIR_H
#define KP_API_FAIR_H

#include <stddef.h>

#include "aio/job.h"
#include "aio/loop.h"

struct kp_fair;

#define KP_FAIR_AT_ONCE  8           // of a namespace, at the pool
#define KP_FAIR_CAPTURES "*captures" // instead of a namespace: what controllers send

// at_once: how many of all may be at the pool; 0 = any number.
struct kp_fair *kp_fair_create(struct kp_loop *loop, enum kp_job_kind kind, size_t at_once);
void kp_fair_destroy(struct kp_fair *fair); // nothing may be waiting; NULL is fine
// As kp_job_run(). namespace NULL: who asks for all is one of its own.
void kp_fair_run(
    struct kp_fair *fair, const char *namespace, void (*work)(void *arg), void (*done)(void *arg), void *arg);

#endif
