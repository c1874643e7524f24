#include "aio/job.h"

#include <pthread.h>

#include "aio/loop_private.h"
#include "base/alloc.h"
#include "base/banned.h"

struct job {
    uv_work_t uv; // first: uv hands its address back
    struct kp_list node;
    struct kp_loop *loop;
    enum kp_job_kind kind;
    void (*work)(void *arg);
    void (*done)(void *arg);
    void *arg;
};

static void on_work(uv_work_t *request)
{
    struct job *job = (struct job *)request;
    job->work(job->arg);
}

static void submit(struct job *job);

static void start_waiting(struct kp_loop *loop)
{
    if (kp_list_empty(&loop->long_waiting) || loop->n_long_running >= loop->max_long)
        return;
    struct job *job = kp_container_of(loop->long_waiting.next, struct job, node);
    kp_list_remove(&job->node);
    submit(job);
}

static void after_work(uv_work_t *request, int status)
{
    struct job *job = (struct job *)request;
    struct kp_loop *loop = job->loop;
    (void)status;
    loop->n_jobs--;
    if (job->kind == KP_JOB_LONG)
        loop->n_long_running--;
    start_waiting(loop);
    if (job->done != NULL)
        job->done(job->arg);
    kp_free(job);
}

static void submit(struct job *job)
{
    if (job->kind == KP_JOB_LONG)
        job->loop->n_long_running++;
    uv_queue_work(&job->loop->uv, &job->uv, on_work, after_work);
}

void kp_job_run(
    struct kp_loop *loop, enum kp_job_kind kind, void (*work)(void *arg), void (*done)(void *arg), void *arg)
{
    struct job *job = KP_NEW(struct job);
    *job = (struct job){.loop = loop, .kind = kind, .work = work, .done = done, .arg = arg};
    loop->n_jobs++;
    if (kind == KP_JOB_LONG && loop->n_long_running >= loop->max_long)
        kp_list_append(&loop->long_waiting, &job->node);
    else
        submit(job);
}

int kp_job_count(struct kp_loop *loop)
{
    return loop->n_jobs;
}

// ---- the worker: one thread, in order ----

struct task {
    struct kp_list node;
    void (*work)(void *arg);
    void (*done)(void *arg);
    void *arg;
};

struct kp_worker {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct kp_list queue, finished; // under lock
    bool ending;                    // under lock
    struct kp_wake *wake;
};

static struct kp_list *take_first(struct kp_list *list)
{
    if (kp_list_empty(list))
        return NULL;
    struct kp_list *node = list->next;
    kp_list_remove(node);
    return node;
}

static void *run_worker(void *user)
{
    struct kp_worker *worker = user;
    pthread_mutex_lock(&worker->lock);
    for (;;) {
        struct kp_list *node = take_first(&worker->queue);
        if (node == NULL && worker->ending)
            break;
        if (node == NULL) {
            pthread_cond_wait(&worker->more, &worker->lock);
            continue;
        }
        pthread_mutex_unlock(&worker->lock);
        struct task *task = kp_container_of(node, struct task, node);
        task->work(task->arg);
        pthread_mutex_lock(&worker->lock);
        kp_list_append(&worker->finished, &task->node);
        kp_wake_send(worker->wake);
    }
    pthread_mutex_unlock(&worker->lock);
    return NULL;
}

static void deliver(void *user)
{
    struct kp_worker *worker = user;
    for (;;) {
        pthread_mutex_lock(&worker->lock);
        struct kp_list *node = take_first(&worker->finished);
        pthread_mutex_unlock(&worker->lock);
        if (node == NULL)
            return;
        struct task *task = kp_container_of(node, struct task, node);
        if (task->done != NULL)
            task->done(task->arg);
        kp_free(task);
    }
}

struct kp_worker *kp_worker_create(struct kp_loop *loop, const char *name)
{
    struct kp_worker *worker = KP_NEW(struct kp_worker);
    kp_list_init(&worker->queue);
    kp_list_init(&worker->finished);
    pthread_mutex_init(&worker->lock, NULL);
    pthread_cond_init(&worker->more, NULL);
    worker->wake = kp_wake_create(loop, deliver, worker);
    if (pthread_create(&worker->thread, NULL, run_worker, worker) != 0) {
        kp_wake_destroy(worker->wake);
        pthread_cond_destroy(&worker->more);
        pthread_mutex_destroy(&worker->lock);
        kp_free(worker);
        return NULL;
    }
    pthread_setname_np(worker->thread, name);
    return worker;
}

void kp_worker_run(struct kp_worker *worker, void (*work)(void *arg), void (*done)(void *arg), void *arg)
{
    struct task *task = KP_NEW(struct task);
    *task = (struct task){.work = work, .done = done, .arg = arg};
    pthread_mutex_lock(&worker->lock);
    kp_list_append(&worker->queue, &task->node);
    pthread_cond_signal(&worker->more);
    pthread_mutex_unlock(&worker->lock);
}

void kp_worker_destroy(struct kp_worker *worker)
{
    if (worker == NULL)
        return;
    pthread_mutex_lock(&worker->lock);
    worker->ending = true;
    pthread_cond_signal(&worker->more);
    pthread_mutex_unlock(&worker->lock);
    pthread_join(worker->thread, NULL);
    deliver(worker);
    kp_wake_destroy(worker->wake);
    pthread_cond_destroy(&worker->more);
    pthread_mutex_destroy(&worker->lock);
    kp_free(worker);
}
