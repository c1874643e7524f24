#include "api/fair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/banned.h"

#define MAX_JOBS 100

struct task {
    char name;
    struct bench *bench;
};

struct bench {
    struct kp_loop *loop;
    struct kp_fair *fair;
    struct task tasks[MAX_JOBS];
    size_t n;
    char order[MAX_JOBS + 1]; // in which they were done
    size_t n_done;
    _Atomic size_t n_running;
    _Atomic bool is_crowded;
    bool all_done;
};

static void work(void *arg)
{
    struct bench *b = ((struct task *)arg)->bench;
    if (++b->n_running > 1)
        b->is_crowded = true;
    b->n_running--;
}

static void done(void *arg)
{
    const struct task *task = arg;
    struct bench *b = task->bench;
    b->order[b->n_done++] = task->name;
    b->all_done = b->n_done == b->n;
}

static void run(struct bench *b, const char *namespace, char name)
{
    struct task *task = &b->tasks[b->n++];
    *task = (struct task){name, b};
    kp_fair_run(b->fair, namespace, work, done, task);
}

static void start(struct bench *b, enum kp_job_kind kind, size_t at_once)
{
    *b = (struct bench){.loop = kp_loop_create()};
    b->fair = kp_fair_create(b->loop, kind, at_once);
}

static void stop(struct bench *b)
{
    assert_true(kp_loop_run_until(b->loop, &b->all_done, 60000));
    kp_fair_destroy(b->fair);
    kp_loop_destroy(b->loop);
}

// Who has many waiting does not hold up who comes later with few.
static void test_namespaces_take_turns(void **state)
{
    (void)state;
    static struct bench b;
    start(&b, KP_JOB_LONG, 1);
    for (int i = 0; i < 5; i++)
        run(&b, "shop", 's');
    run(&b, "pay", 'p');
    run(&b, NULL, 'n');
    run(&b, "pay", 'p');
    assert_int_equal(kp_job_count(b.loop), 1); // the others wait here
    stop(&b);
    assert_string_equal(b.order, "sspnspss");
    assert_false(b.is_crowded);
}

static void test_of_each_a_few(void **state)
{
    (void)state;
    static struct bench b;
    start(&b, KP_JOB_SHORT, 0);
    for (int i = 0; i < 20; i++)
        run(&b, "shop", 's');
    assert_int_equal(kp_job_count(b.loop), KP_FAIR_AT_ONCE);
    for (int i = 0; i < 3; i++)
        run(&b, "pay", 'p');
    assert_int_equal(kp_job_count(b.loop), KP_FAIR_AT_ONCE + 3);
    stop(&b);
    assert_int_equal(b.n_done, 23);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_namespaces_take_turns),
        cmocka_unit_test(test_of_each_a_few),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
