#include "api/fair.h"

#include <stdint.h>
#include <string.h>

#include "base/alloc.h"
#include "base/list.h"
#include "base/map.h"
#include "base/banned.h"

struct asker {
    struct kp_fair *fair;
    size_t n_running;
    struct kp_list waiting;
    struct kp_list turn; // while it has one to start
    UT_hash_handle hh;
    char namespace[];
};

struct job {
    struct asker *asker;
    void (*work)(void *arg);
    void (*done)(void *arg);
    void *arg;
    struct kp_list node;
};

struct kp_fair {
    struct kp_loop *loop;
    enum kp_job_kind kind;
    size_t at_once, n_running;
    struct asker *all;
    struct kp_list turns; // askers, who is next first
};

struct kp_fair *kp_fair_create(struct kp_loop *loop, enum kp_job_kind kind, size_t at_once)
{
    struct kp_fair *fair = KP_NEW(struct kp_fair);
    fair->loop = loop;
    fair->kind = kind;
    fair->at_once = at_once > 0 ? at_once : SIZE_MAX;
    kp_list_init(&fair->turns);
    return fair;
}

void kp_fair_destroy(struct kp_fair *fair)
{
    kp_free(fair);
}

static struct asker *asker_of(struct kp_fair *fair, const char *namespace)
{
    struct asker *a;
    const char *name = namespace ? namespace : "*"; // no namespace has that name
    HASH_FIND_STR(fair->all, name, a);
    if (a)
        return a;
    size_t len = strlen(name);
    a = kp_calloc(1, sizeof *a + len + 1);
    a->fair = fair;
    kp_list_init(&a->waiting);
    kp_list_init(&a->turn);
    memcpy(a->namespace, name, len);
    HASH_ADD_KEYPTR(hh, fair->all, a->namespace, len, a);
    return a;
}

static void run_work(void *arg)
{
    struct job *job = arg;
    job->work(job->arg);
}

static void run_done(void *arg);

static void take_turn(struct asker *a)
{
    if (kp_list_empty(&a->turn) && a->n_running < KP_FAIR_AT_ONCE && !kp_list_empty(&a->waiting))
        kp_list_append(&a->fair->turns, &a->turn);
}

static void start(struct kp_fair *fair)
{
    while (fair->n_running < fair->at_once && !kp_list_empty(&fair->turns)) {
        struct asker *a = kp_container_of(fair->turns.next, struct asker, turn);
        struct job *job = kp_container_of(a->waiting.next, struct job, node);
        kp_list_remove(&a->turn);
        kp_list_remove(&job->node);
        a->n_running++;
        fair->n_running++;
        take_turn(a); // behind the others
        kp_job_run(fair->loop, fair->kind, run_work, run_done, job);
    }
}

static void run_done(void *arg)
{
    struct job job = *(struct job *)arg;
    struct asker *a = job.asker;
    kp_free(arg);
    a->n_running--;
    a->fair->n_running--;
    take_turn(a);
    start(a->fair);
    if (a->n_running == 0 && kp_list_empty(&a->waiting)) {
        HASH_DEL(a->fair->all, a);
        kp_free(a);
    }
    job.done(job.arg); // last: it may be what ends all of it
}

void kp_fair_run(
    struct kp_fair *fair, const char *namespace, void (*work)(void *arg), void (*done)(void *arg), void *arg)
{
    struct asker *a = asker_of(fair, namespace);
    struct job *job = KP_NEW(struct job);
    *job = (struct job){.asker = a, .work = work, .done = done, .arg = arg};
    kp_list_append(&a->waiting, &job->node);
    take_turn(a);
    start(fair);
}
