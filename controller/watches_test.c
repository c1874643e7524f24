// What is said of a watch that was in step and is refused.
#include "controller/watches.h"

#include <setjmp.h>
#include <stdatomic.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "kube/client.h"
#include "plan/plan.h"
#include "testkit/peer.h"
#include "base/banned.h"

#define SYNCED                                                                                               \
    "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"9\",\"annotations\":{"           \
    "\"k8s.io/initial-events-end\":\"true\"}}}}\n"
#define STATUS(reason, code)                                                                                 \
    "{\"kind\":\"Status\",\"message\":\"because " reason "\",\"reason\":\"" reason "\",\"code\":" code "}"

#define ANSWERS "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"

struct bench {
    struct kp_peer *peer;
    // Of the API server: whether the first list is refused too; how; and until when.
    bool refuses_first;
    int status;
    const char *body;
    atomic_bool refuses, lost_place; // lost_place: a watch did not go on from where the list was
    atomic_int n_pods_lists, n_policies_lists;
    struct kp_loop *loop;
    struct kp_kube *kube;
    struct kp_plan *plan;
    struct kp_inventory *inventory;
    struct kp_statuses *statuses;
    struct kp_watches *watches;
    int n_synced, n_changes;
};

static void on_synced(void *user)
{
    ((struct bench *)user)->n_synced++;
}

static void on_change(void *user, const char *namespace)
{
    (void)namespace;
    ((struct bench *)user)->n_changes++;
}

static void never_cancel(void *user, uint64_t order_id)
{
    (void)user;
    (void)order_id;
}

static void ignore_namespace(void *user, const char *namespace)
{
    (void)user;
    (void)namespace;
}

static void ignore_problem(void *user, const struct kp_pod *pod, const struct kp_annotation_problem *problem)
{
    (void)user;
    (void)pod;
    (void)problem;
}

// The first list of each is complete and ends; then whatever is asked for is refused until it is not.
static const struct kp_step *api(void *user, struct kp_peer *peer, const struct kp_peer_request *request)
{
    static const struct kp_step synced[] = {KP_STEP_TEXT(ANSWERS SYNCED), KP_STEP_CLOSE, KP_STEP_END};
    static const struct kp_step synced_on[] = {KP_STEP_TEXT(ANSWERS SYNCED), KP_STEP_HANG, KP_STEP_END};
    static const struct kp_step on[] = {KP_STEP_TEXT(ANSWERS), KP_STEP_HANG, KP_STEP_END};
    struct bench *b = user;
    bool is_list = strstr(request->target, "sendInitialEvents") != NULL;
    atomic_int *n = strstr(request->target, "/pods") ? &b->n_pods_lists : &b->n_policies_lists;
    bool is_first = is_list && atomic_fetch_add(n, 1) == 0;
    if (!is_list && !strstr(request->target, "resourceVersion=9&"))
        b->lost_place = true;
    if (is_first && !b->refuses_first)
        return synced;
    if (b->refuses)
        return kp_peer_answer(peer, b->status, "application/json", b->body, strlen(b->body));
    return is_list ? synced_on : on;
}

static void begin(struct bench *b, bool refuses_first, int status, const char *body)
{
    static const char *const namespaces[] = {"shop", NULL};
    *b = (struct bench){.loop = kp_loop_create(),
        .refuses_first = refuses_first,
        .refuses = true,
        .status = status,
        .body = body};
    b->peer = kp_peer_start(api, b);
    kp_auto_free char *server = kp_strdup(kp_peer_url(b->peer));
    b->kube = kp_kube_create(b->loop, &(struct kp_kube_config){.server = server}, NULL);
    b->plan = kp_plan_create(NULL, NULL);
    struct kp_inventory_options inventory = {.on_cancel = never_cancel,
        .on_replanned = ignore_namespace,
        .on_annotation_problem = ignore_problem,
        .user = b};
    b->inventory = kp_inventory_create(b->loop, b->plan, &inventory);
    b->statuses = kp_statuses_create(b->loop, b->kube, NULL, "test", NULL);
    b->watches = kp_watches_create(&(struct kp_watches_options){.kube = b->kube,
        .inventory = b->inventory,
        .statuses = b->statuses,
        .namespaces = namespaces,
        .on_synced = on_synced,
        .on_change = on_change,
        .user = b});
    kp_watches_start(b->watches);
}

static void end(struct bench *b)
{
    kp_watches_destroy(b->watches);
    kp_kube_destroy(b->kube);
    kp_statuses_destroy(b->statuses);
    kp_inventory_destroy(b->inventory);
    kp_plan_destroy(b->plan);
    kp_loop_destroy(b->loop);
    kp_peer_stop(b->peer);
    assert_false(b->lost_place);
}

static void until(struct bench *b, bool in_trouble)
{
    const bool never = false;
    for (int i = 0; i < 2000 && (kp_watches_trouble(b->watches) != NULL) != in_trouble; i++)
        (void)kp_loop_run_until(b->loop, &never, 10);
    assert_int_equal(kp_watches_trouble(b->watches) != NULL, in_trouble);
}

// Policies and pods of one namespace: both are in step, then both are refused, then both are well again.
static void refused(int status, const char *body, const char *says, bool told_in_status)
{
    struct bench b;
    const char *why = NULL;
    begin(&b, false, status, body);
    assert_false(kp_watches_synced(b.watches, &why));
    assert_non_null(strstr(why, "are not listed yet"));
    assert_null(kp_watches_trouble(b.watches));   // that is said already
    assert_null(kp_watches_hindrance(b.watches)); // they are being read
    until(&b, true);
    const char *trouble = kp_watches_trouble(b.watches);
    if (!strstr(trouble, "/namespaces/shop/p") || !strstr(trouble, says))
        fail_msg("'%s'", trouble);
    for (int i = 0; i < 2000 && !(strstr(trouble, "/pods cannot") && strstr(trouble, "policies cannot"));
         i++) {
        const bool never = false;
        (void)kp_loop_run_until(b.loop, &never, 10);
        trouble = kp_watches_trouble(b.watches);
        assert_non_null(trouble);
    }
    assert_non_null(strstr(trouble, "/pods cannot be watched"));
    assert_non_null(strstr(trouble, "/profilingpolicies cannot be watched"));
    assert_int_equal(kp_watches_trouble_of(b.watches, "shop/p") != NULL, told_in_status);
    assert_null(kp_watches_trouble_of(b.watches, "shopping/p")); // of another namespace
    b.refuses = false;
    until(&b, false);
    assert_true(kp_watches_synced(b.watches, &why)); // what was complete once stays so
    assert_int_equal(b.n_synced, 1);
    assert_true(b.n_changes >= 2); // so that status is told
    end(&b);
}

// A cache that is only being read is no trouble: what status said before the start stands.
static void test_hindered(void **state)
{
    struct bench b;
    const bool never = false;
    const char *why = NULL;
    (void)state;
    begin(&b, true, 403, STATUS("Forbidden", "403"));
    assert_null(kp_watches_hindrance(b.watches));
    for (int i = 0; i < 2000 && kp_watches_hindrance(b.watches) == NULL; i++)
        (void)kp_loop_run_until(b.loop, &never, 10);
    assert_non_null(kp_watches_hindrance(b.watches));
    assert_non_null(strstr(kp_watches_hindrance(b.watches), "are not listed yet: "));
    assert_non_null(strstr(kp_watches_hindrance(b.watches), "because Forbidden"));
    b.refuses = false;
    for (int i = 0; i < 2000 && !kp_watches_synced(b.watches, &why); i++)
        (void)kp_loop_run_until(b.loop, &never, 10);
    assert_true(kp_watches_synced(b.watches, &why));
    assert_null(kp_watches_hindrance(b.watches));
    end(&b);
}

static void test_refused(void **state)
{
    (void)state;
    refused(403, STATUS("Forbidden", "403"), "because Forbidden", true);
    refused(404, "404 page not found\n", "CustomResourceDefinition", true);
    refused(401, STATUS("Unauthorized", "401"), "because Unauthorized", true);
    refused(500, STATUS("InternalError", "500"), "because InternalError", false); // it may pass by itself
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hindered),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
