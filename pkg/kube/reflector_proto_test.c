// The reflector of a kind that reads protobuf, against what a real API server answered.
#include "kube/reflector.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "kube/reflector_fixture.h"
#include "record/pod.h"
#include "testkit/testkit.h"

#include "base/banned.h"

#define ACCEPTED "Accept: application/vnd.kubernetes.protobuf, application/json\r\n"

static struct peer_step recorded(
    const char *expect, int status, const char *file, enum peer_end end, char **ret)
{
    size_t len = 0;
    kp_auto_free char *path = kp_asprintf("%s/%s", KP_TESTDATA, file);
    *ret = kp_test_read_file(path, &len);
    return (struct peer_step){expect, status, NULL, *ret, len, end == PEER_WHOLE ? 0 : 37, end};
}

static void begin_pods(
    struct fixture *f, const struct peer_step *steps, size_t n, const struct kp_reflector_tuning *tuning)
{
    const struct kp_reflector_kind kind = {
        .name = "pods",
        .path = "/api/v1/pods",
        .decode = kp_decode_pod,
        .decode_protobuf = kp_decode_pod_protobuf,
        .unref = kp_unref_pod,
    };
    const struct kp_reflector_events events = {
        .on_change = on_change, .on_synced = on_synced, .on_trouble = on_trouble, .user = f};
    char server[64];
    memset(f, 0, sizeof *f);
    f->peer = peer_start(steps, n);
    snprintf(server, sizeof server, "http://127.0.0.1:%d", f->peer->port);
    kp_strbuf_init(&f->log, 1 << 20);
    f->loop = kp_loop_create();
    f->metrics = kp_metrics_create();
    f->kube = kp_kube_create(f->loop, &(struct kp_kube_config){.server = server},
        &(struct kp_kube_options){.metrics = f->metrics});
    f->reflector = kp_reflector_create(f->kube, &kind, &events, f->metrics);
    kp_reflector_tune(f->reflector, tuning);
    kp_reflector_start(f->reflector);
}

#define CAME                                                                                                 \
    "+checkout-6c8f9d7b5-aaaaa +checkout-6c8f9d7b5-bbbbb +done +leaving +plain ! =checkout-6c8f9d7b5-aaaaa " \
    "+late =late =done -done "

static void test_watch_list(void **state)
{
    (void)state;
    kp_auto_free char *body = NULL;
    const char expired[] = "\0\0\0\x2e\x0a\x05"
                           "ERROR\x12\x25\x0a\x23k8s\0\x12\x1d\x12\x07"
                           "Failure"
                           "\x1a\x07too old\x22\x04Gone\x30\x9a\x03\x2a\x00";
    const struct peer_step steps[] = {
        recorded("sendInitialEvents=true", 200, "watchlist.pods.pb", PEER_CHUNKED, &body),
        {"watch=1&allowWatchBookmarks=true&resourceVersion=273&", 200, NULL, expired, sizeof expired - 1, 0,
            PEER_CHUNKED},
        {"sendInitialEvents=true", 200, NULL,
            EVENT("ADDED",
                "{\"metadata\":{\"name\":\"plain\",\"namespace\":\"rec\",\"resourceVersion\":\"400\"}}")
                SYNCED("401"),
            0, 0, PEER_HOLD}, // an API server of another make
    };
    struct fixture f;
    begin_pods(&f, steps, KP_COUNT(steps), &quick);
    run_until(&f, "-late", 3);
    if (strncmp(f.log.data, CAME "=plain ", sizeof CAME + 6) != 0)
        fail_msg("%s", f.log.data);
    assert_int_equal(kp_reflector_count(f.reflector), 1);
    assert_non_null(strstr(f.peer->seen[0], ACCEPTED));
    assert_int_equal(f.n_troubles, 0);
    end(&f);
}

static void test_refused_and_in_pages(void **state)
{
    (void)state;
    kp_auto_free char *refused = NULL;
    kp_auto_free char *one = NULL;
    kp_auto_free char *two = NULL;
    const struct peer_step steps[] = {
        recorded("sendInitialEvents=true", 422, "watchlist.refused.pb", PEER_WHOLE, &refused),
        recorded("GET /api/v1/pods?limit=2&resourceVersion=0 ", 200, "list.page1.pb", PEER_CHUNKED, &one),
        recorded("GET /api/v1/pods?limit=2&continue=eyJ", 200, "list.page2.pb", PEER_WHOLE, &two),
        {"limit=2&continue=eyJ", 200, NULL, LIST("268", "", POD("plain", "263")), 0, 0, PEER_WHOLE},
        {"resourceVersion=268&", 403, NULL, STATUS(403, "Forbidden"), 0, 0, PEER_WHOLE},
    };
    struct fixture f;
    begin_pods(&f, steps, KP_COUNT(steps), &quick);
    run_until(&f, "!", 5);
    assert_string_equal(
        f.log.data, "+checkout-6c8f9d7b5-aaaaa +checkout-6c8f9d7b5-bbbbb +done +leaving +plain ! ");
    struct kp_pod *leaving = kp_reflector_get(f.reflector, "rec/leaving");
    assert_true(leaving->deleting);
    assert_string_equal(leaving->ip, "10.1.0.10");
    end(&f);
}

// A kind that reads JSON only leaves out what it did not ask for.
static void test_protobuf_nobody_asked_for(void **state)
{
    (void)state;
    kp_auto_free char *body = NULL;
    const struct peer_step steps[] = {
        recorded("Accept: application/json\r\n", 200, "watchlist.pods.pb", PEER_HOLD, &body),
    };
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps), &quick);
    run_until(&f, "!", 1);
    assert_int_equal(kp_reflector_count(f.reflector), 0);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_watch_list),
        cmocka_unit_test(test_refused_and_in_pages),
        cmocka_unit_test(test_protobuf_nobody_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
