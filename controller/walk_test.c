// Many pods of one workload, a part at a time.
#include "controller/walk.h"

#include "controller/inventory_fixture.h"
#include "controller/targetstate.h"
#include "record/state.h"

#include "base/banned.h"

#define PODS 650

struct seen {
    unsigned in_step, pods, targets;
    bool of_pod[PODS + 1]; // by its number
};

static void bench_fill(struct bench *b)
{
    bench_open(b);
    kp_inventory_open(b->inventory);
    set_policy(b, "shop/p", NAMESPACED, ALL, 1);
    for (int i = 0; i < PODS; i++) {
        kp_auto_free char *name = kp_asprintf("%d", i);
        kp_auto_free char *ip = kp_asprintf("10.0.%d.%d", i / 200, i % 200 + 1);
        set_pod(b, name, ip, NULL, NULL);
    }
    settle(b);
    assert_int_equal(targets(b), PODS);
}

static void on_pod(void *user, const struct kp_pod *pod, const struct kp_pod_match *matches, size_t n)
{
    struct seen *seen = user;
    (void)matches;
    assert_int_equal(n, 1);
    seen->in_step++;
    seen->pods++;
    long number = strtol(pod->name, NULL, 10);
    assert_in_range(number, 0, PODS);
    assert_false(seen->of_pod[number]);
    seen->of_pod[number] = true;
}

static void on_target(void *user, const struct kp_target *target, const struct kp_plan_profile *profiles)
{
    struct seen *seen = user;
    (void)target;
    (void)profiles;
    seen->in_step++;
    seen->targets++;
}

static bool step(struct kp_walk *walk, struct bench *b, struct seen *seen)
{
    const struct kp_walk_visit visit = {.pod = on_pod, .target = on_target, .user = seen};
    seen->in_step = 0;
    bool more = kp_walk_step(walk, b->inventory, b->plan, 0, &visit);
    assert_true(seen->in_step <= KP_WALK_MOST);
    return more;
}

static void test_a_large_workload_is_visited_in_parts(void **state)
{
    struct bench b;
    struct seen seen = {0};
    unsigned steps = 1;
    (void)state;
    bench_fill(&b);
    struct kp_walk *walk = kp_walk_create(b.inventory, "shop");
    while (step(walk, &b, &seen))
        steps++;
    assert_int_equal(steps, 2 * (PODS / KP_WALK_MOST + 1));
    assert_int_equal(seen.pods, PODS);
    assert_int_equal(seen.targets, PODS);
    assert_false(step(walk, &b, &seen));
    assert_int_equal(seen.in_step, 0);
    kp_walk_destroy(walk);
    walk = kp_walk_create(b.inventory, "elsewhere");
    assert_false(step(walk, &b, &seen));
    kp_walk_destroy(walk);
    bench_close(&b);
}

static void test_pods_go_and_come_meanwhile(void **state)
{
    struct bench b;
    struct seen seen = {0};
    (void)state;
    bench_fill(&b);
    struct kp_walk *walk = kp_walk_create(b.inventory, NULL);
    assert_true(step(walk, &b, &seen));
    kp_inventory_set_pod(b.inventory, "shop/3", NULL);
    kp_inventory_set_pod(b.inventory, "shop/600", NULL);
    kp_auto_free char *last = kp_asprintf("%d", PODS);
    set_pod(&b, last, "10.9.0.1", NULL, NULL);
    settle(&b);
    while (step(walk, &b, &seen))
        ;
    assert_in_range(seen.pods, PODS - 1, PODS + 1);
    assert_true(seen.of_pod[PODS]);
    assert_false(seen.of_pod[600]);
    kp_walk_destroy(walk);
    walk = kp_walk_create(b.inventory, NULL);
    for (int i = 0; i <= PODS; i++) {
        kp_auto_free char *key = kp_asprintf("shop/%d", i);
        kp_inventory_set_pod(b.inventory, key, NULL);
    }
    settle(&b);
    seen = (struct seen){0};
    while (step(walk, &b, &seen))
        ;
    assert_int_equal(seen.pods + seen.targets, 0); // the workload is gone
    kp_walk_destroy(walk);
    bench_close(&b);
}

static void test_states_are_gathered_in_parts(void **state)
{
    struct bench b;
    struct kp_state_batch batch;
    unsigned steps = 1, left_out = 0;
    (void)state;
    bench_fill(&b);
    set_pod(&b, "twin", "10.0.0.1", NULL, NULL); // on another's address: both are left out
    settle(&b);
    struct kp_target_states *states = kp_target_states_create(b.inventory, "shop", 7);
    while (kp_target_states_step(states, b.inventory, b.plan, -1))
        steps++;
    assert_int_equal(steps, 2 * (PODS / KP_WALK_MOST + 1));
    struct kp_blob *encoded = kp_target_states_take(states);
    assert_non_null(encoded);
    assert_int_equal(kp_state_batch_decode(encoded->data, encoded->len, &batch, NULL), 0);
    assert_string_equal(batch.namespace, "shop");
    assert_int_equal(batch.time_ms, 7);
    assert_false(batch.truncated);
    assert_int_equal(batch.targets.n, PODS + 1);
    for (size_t i = 0; i < batch.targets.n; i++)
        left_out += batch.targets.items[i].left_out_reason != NULL ? 1 : 0;
    assert_int_equal(left_out, 2);
    kp_state_batch_finish(&batch);
    kp_blob_unref(encoded);
    kp_target_states_destroy(states);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_large_workload_is_visited_in_parts),
        cmocka_unit_test(test_pods_go_and_come_meanwhile),
        cmocka_unit_test(test_states_are_gathered_in_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
