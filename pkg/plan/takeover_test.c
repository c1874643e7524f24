// Two replicas with a plan each over the same pods: one captures, the other takes over at any moment.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/map.h"
#include "plan/plan.h"
#include "plan/plan_fixture.h"
#include "base/banned.h"

#define MINUTE    INT64_C(60000)
#define HOUR      (60 * MINUTE)
#define START_MS  INT64_C(1790000000000)
#define WORKLOADS 20

struct captured { // what the registry knows
    char *key;
    UT_hash_handle hh;
};

struct replica {
    struct kp_plan *plan;
    struct kp_metrics *metrics;
    struct captured **known;
    int64_t now, from;
    size_t n, n_again, n_past;
};

static void on_order(void *user, struct kp_order *order)
{
    struct replica *r = user;
    struct captured *captured;
    kp_auto_free char *key =
        kp_asprintf("%s/%s/%lld", order->target->key, order->wanted->type, (long long)order->slot_ms);
    HASH_FIND_STR(*r->known, key, captured);
    r->n++;
    r->n_again += captured != NULL;
    r->n_past += order->start_ms < r->from;
    if (captured == NULL) {
        captured = KP_NEW(struct captured);
        captured->key = kp_take(key);
        HASH_ADD_KEYPTR(hh, *r->known, captured->key, strlen(captured->key), captured);
    }
    kp_plan_finish(r->plan, order->id, 1000, 40, r->now);
    kp_plan_outcome(
        r->plan, order->target->key, order->wanted->type, KP_OUTCOME_SUCCEEDED, "", r->now, r->now);
    kp_target_unref(order->target);
}

static void no_cancel(void *user, uint64_t order_id)
{
    (void)user;
    (void)order_id;
}

static void hand_over(struct replica *r, const struct fixture_workload *workload)
{
    kp_plan_set_workload(
        r->plan, workload->key, workload->targets.items, workload->targets.n, r->now, no_cancel, NULL);
}

static void begin(struct replica *r, const struct fixture_cluster *cluster, struct captured **known)
{
    *r = (struct replica){.metrics = kp_metrics_create(), .known = known, .now = START_MS};
    r->plan = kp_plan_create(NULL, r->metrics);
    for (size_t w = 0; w < cluster->n; w++)
        hand_over(r, &cluster->workloads[w]);
}

static void lead(struct replica *r, int64_t from, int64_t until)
{
    r->now = r->from = from;
    kp_plan_take_over(r->plan, from);
    while (r->now < until) {
        int64_t next = kp_plan_run(r->plan, r->now, on_order, r);
        r->now = next < until ? next : until;
    }
}

static double missed(struct replica *r)
{
    static const char name[] = "\nkube_pprof_captures_missed_total ";
    struct kp_strbuf text;
    kp_strbuf_init(&text, 65536);
    kp_metrics_write(r->metrics, &text);
    const char *at = strstr(text.data, name);
    double n = at != NULL ? strtod(at + strlen(name), NULL) : -1;
    kp_strbuf_finish(&text);
    return n;
}

static void end(struct replica *r)
{
    kp_plan_destroy(r->plan);
    kp_metrics_destroy(r->metrics);
}

static void forget(struct captured **known)
{
    struct captured *captured, *next;
    HASH_ITER (hh, *known, captured, next) {
        HASH_DEL(*known, captured);
        kp_free(captured->key);
        kp_free(captured);
    }
}

// The other replica waited for as long as it likes: what was due meanwhile was its leader's.
static void test_nothing_is_captured_twice(void **state)
{
    static const int64_t after_ms[] = {1, 5000, 25000, 59000, 2 * MINUTE, HOUR};
    (void)state;
    for (size_t i = 0; i < KP_COUNT(after_ms); i++) {
        struct fixture_cluster cluster;
        struct captured *known = NULL;
        struct replica first, second;
        int64_t change = START_MS + after_ms[i];
        fixture_cluster_make(&cluster, WORKLOADS, 3, i, START_MS - HOUR);
        begin(&first, &cluster, &known);
        begin(&second, &cluster, &known);
        lead(&first, START_MS, change);
        lead(&second, change, change + 5 * MINUTE);
        assert_int_equal(second.n_again, 0);
        assert_int_equal(second.n_past, 0);
        assert_true(second.n > WORKLOADS * 3 * 4); // a CPU profile a minute of each
        assert_true(missed(&second) == 0);
        lead(&first, change + 5 * MINUTE, change + 10 * MINUTE); // and back
        assert_int_equal(first.n_again, 0);
        assert_int_equal(first.n_past, 0);
        assert_true(missed(&first) == 0);
        end(&first);
        end(&second);
        forget(&known);
        fixture_cluster_free(&cluster);
    }
}

// Nobody led for a moment: a pod that came then is captured as soon as any other.
static void test_a_new_pod_between_two_leaders(void **state)
{
    struct fixture_cluster cluster;
    struct captured *known = NULL;
    struct replica r;
    (void)state;
    fixture_cluster_make(&cluster, 1, 3, 1, START_MS - HOUR);
    begin(&r, &cluster, &known);
    r.now = START_MS + HOUR;
    fixture_replace_pod(&cluster, 0, 0, r.now);
    hand_over(&r, &cluster.workloads[0]);
    lead(&r, START_MS + HOUR + 13000, START_MS + HOUR + 13001);
    assert_int_equal(r.n, 3); // cpu, heap, goroutine of the new one
    assert_true(missed(&r) == 0);
    end(&r);
    forget(&known);
    fixture_cluster_free(&cluster);
}

// The slot it came in is over: it is captured in the present one, and nothing was missed.
static void test_a_new_pod_whose_slot_is_over(void **state)
{
    struct fixture_cluster cluster;
    struct captured *known = NULL;
    struct replica r;
    (void)state;
    fixture_cluster_make(&cluster, 1, 3, 1, START_MS - HOUR);
    fixture_set_profile(&cluster, 0, "heap", 10000, 0);
    begin(&r, &cluster, &known);
    lead(&r, START_MS + HOUR, START_MS + HOUR + 100000);
    r.n = 0;
    for (int64_t after_ms = 0; after_ms < 100000; after_ms += 20000) {
        r.now = START_MS + HOUR + after_ms + 100000; // its slot is open
        fixture_replace_pod(&cluster, 0, 0, r.now);
        hand_over(&r, &cluster.workloads[0]);
        lead(&r, r.now + 11000, r.now + 11001);
    }
    assert_true(r.n >= 5);
    assert_true(missed(&r) == 0);
    end(&r);
    forget(&known);
    fixture_cluster_free(&cluster);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_captured_twice),
        cmocka_unit_test(test_a_new_pod_between_two_leaders),
        cmocka_unit_test(test_a_new_pod_whose_slot_is_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
