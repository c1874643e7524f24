// Which changes of pods are told.
#include "controller/inventory_fixture.h"

#include "base/banned.h"

static void set_pod_of_release(struct bench *b, const char *name, const char *ip, const char *release)
{
    const struct kp_pod *made = make_pod(name, ip, NULL, NULL);
    struct kp_label labels[] = {{"app", "checkout"}, {"release", release}};
    struct kp_pod draft = *made;
    draft.labels = labels;
    draft.n_labels = 2;
    give(b, &draft);
    kp_pod_unref(made);
}

static void count_release(void *user, const struct kp_target *target, const struct kp_plan_profile *profiles)
{
    (void)profiles;
    *(int *)user += kp_pod_label(target->pod, "release") != NULL;
}

// Labels that nobody selects by and the state of containers go along with captures: nothing is told anew.
static void what_nobody_is_told_of_is_not_told(void **state)
{
    struct bench b;
    (void)state;
    bench_open(&b);
    set_policy(&b, "shop/p", NAMESPACED, ALL, 1);
    set_pod(&b, "a", "10.0.0.1", NULL, NULL);
    set_pod(&b, "b", "10.0.0.2", NULL, NULL);
    kp_inventory_open(b.inventory);
    settle(&b);
    int before = b.replanned;
    set_pod_of_release(&b, "a", "10.0.0.1", "2");
    settle(&b);
    assert_int_equal(b.replanned, before);
    int with_label = 0;
    kp_plan_each_target(b.plan, 0, count_release, &with_label);
    assert_int_equal(with_label, 1);                                // the plan has it
    set_pod(&b, "b", "10.0.0.2", "kube-pprof.dev/enable", "false"); // left out from now on
    settle(&b);
    assert_int_equal(b.replanned, before + 1);
    assert_int_equal(targets(&b), 1);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_nobody_is_told_of_is_not_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
