// The registry as a receiver, against a scripted peer.
#include <stdatomic.h>
#include <unistd.h>

#include "base/file.h"
#include "sink/sink_fixture.h"
#include "testkit/peer.h"
#include "base/banned.h"

struct script {
    _Atomic int status;
    const char *_Atomic extra, *_Atomic body;
};

static const struct kp_step *route(void *user, struct kp_peer *peer, const struct kp_peer_request *request)
{
    struct script *script = user;
    (void)request;
    const char *body = script->body != NULL ? script->body : "{}";
    return kp_peer_answer_with(peer, script->status, script->extra, "application/json", body, strlen(body));
}

static struct bench *start(const char *url, const char *token_file, const char *spool_dir)
{
    struct bench *bench = KP_NEW(struct bench);
    struct kp_sink_options options = {.spool_dir = spool_dir, .concurrent = 1};
    const struct kp_sink_registry_options registry = {.url = url, .token_file = token_file};
    fixture_now_offset = 0;
    bench->loop = kp_loop_create();
    assert_int_equal(kp_sink_registry_create(bench->loop, &registry, &options.ops, &options.self, NULL), 0);
    fixture_open(bench, options);
    return bench;
}

static void a_capture_arrives_whole(void **state)
{
    struct script script = {.status = 201};
    struct kp_peer *peer = kp_peer_start(route, &script);
    char *dir = kp_test_tmpdir();
    kp_auto_free char *token = kp_asprintf("%s/token", dir);
    char value[80];
    (void)state;
    assert_int_equal(kp_file_write_atomic(token, "first\n", 6, 0600, NULL), 0);
    struct bench *bench = start(kp_peer_url(peer), token, NULL);
    fixture_put(bench, 7, 300);
    fixture_until(bench, outcomes_are, 1);
    assert_int_equal(bench->outcomes.items[0].outcome, KP_OUTCOME_SUCCEEDED);
    const struct kp_peer_request *request = kp_peer_request(peer, 0);
    assert_string_equal(request->method, "POST");
    assert_string_equal(request->target, "/api/v1/profiles");
    assert_true(kp_peer_header(request, "Content-Type", value, sizeof value));
    assert_string_equal(value, KP_CAPTURE_MEDIA_TYPE);
    assert_true(kp_peer_header(request, "Authorization", value, sizeof value));
    assert_string_equal(value, "Bearer first");
    struct kp_record record;
    const uint8_t *profile;
    size_t len;
    assert_int_equal(kp_capture_unframe(request->body, request->body_len, &record, &profile, &len, NULL), 0);
    assert_string_equal(record.key, "k7");
    assert_int_equal(len, 300);
    assert_int_equal(profile[299], 7);
    kp_record_finish(&record);

    assert_int_equal(kp_file_write_atomic(token, "second", 6, 0600, NULL), 0);
    script.status = 200; // a key it has
    fixture_put(bench, 8, 10);
    fixture_until(bench, outcomes_are, 2);
    assert_int_equal(bench->outcomes.items[1].outcome, KP_OUTCOME_SUCCEEDED);
    assert_true(kp_peer_header(kp_peer_request(peer, 1), "Authorization", value, sizeof value));
    assert_string_equal(value, "Bearer second");
    assert_int_equal(kp_peer_connections(peer), 1); // kept alive
    fixture_end(bench);
    kp_peer_stop(peer);
    kp_test_rmdir(dir);
}

static void refusals_are_final(void **state)
{
    static const struct {
        int status;
        const char *body;
        enum kp_outcome outcome;
        const char *message;
    } rows[] = {
        {422, "{\"error\":{\"reason\":\"Empty\",\"message\":\"the profile has no samples\"}}",
            KP_OUTCOME_EMPTY, "the profile has no samples"},
        {422, "{\"error\": {\"reason\": \"Invalid\", \"message\": \"string 7 of 5\"}}", KP_OUTCOME_INVALID,
            "string 7 of 5"},
        {413, "{\"error\":{\"reason\":\"TooLarge\",\"message\":\"say \\\"no\\\"\"}}", KP_OUTCOME_TOO_LARGE,
            "say \"no\""},
        {429,
            "{\"error\":{\"reason\":\"NamespaceLimit\",\"message\":\"namespace 'shop' sends more than 5 "
            "bytes a "
            "second\"}}",
            KP_OUTCOME_THROTTLED, "namespace 'shop' sends more than 5 bytes a second"},
        {507, "<html>", KP_OUTCOME_STORE_FULL, "the registry answers 507"},
        {400, "", KP_OUTCOME_INVALID, "the registry answers 400"},
        {422, "{\"error\":{\"message\":\"cut of", KP_OUTCOME_INVALID, "cut of"},
    };
    struct script script = {0};
    struct kp_peer *peer = kp_peer_start(route, &script);
    struct bench *bench = start(kp_peer_url(peer), NULL, NULL);
    (void)state;
    for (unsigned i = 0; i < KP_COUNT(rows); i++) {
        script.status = rows[i].status;
        script.body = rows[i].body;
        fixture_put(bench, i, 10);
        fixture_until(bench, outcomes_are, i + 1);
        assert_int_equal(bench->outcomes.items[i].outcome, rows[i].outcome);
        assert_string_equal(bench->outcomes.items[i].message, rows[i].message);
    }
    assert_int_equal(kp_peer_requests(peer), KP_COUNT(rows)); // none was tried again
    fixture_end(bench);
    kp_peer_stop(peer);
}

static bool in_trouble(const struct bench *bench, size_t want)
{
    (void)want;
    return kp_sink_trouble(bench->sink) != NULL;
}

static void what_may_be_mended_is_tried_again(void **state)
{
    static const int statuses[] = {401, 403, 404, 429, 500, 503, 302};
    struct script script = {0};
    (void)state;
    for (unsigned i = 0; i < KP_COUNT(statuses); i++) {
        struct kp_peer *peer = kp_peer_start(route, &script);
        struct bench *bench = start(kp_peer_url(peer), NULL, NULL);
        char number[8];
        snprintf(number, sizeof number, "%d", statuses[i]);
        script.extra = "Location: /elsewhere\r\n";
        script.status = statuses[i];
        script.body = statuses[i] == 503
                          ? "{\"error\":{\"reason\":\"Unavailable\",\"message\":\"read-only? yes\"}}"
                          : NULL;
        fixture_put(bench, 1, 10);
        fixture_until(bench, in_trouble, 0);
        assert_non_null(strstr(kp_sink_trouble(bench->sink), number));
        assert_non_null(strstr(kp_sink_trouble(bench->sink), script.body ? "read-only? yes" : "see its log"));
        assert_int_equal(bench->outcomes.n, 0);
        script.status = 201;
        fixture_until(bench, outcomes_are, 1);
        assert_int_equal(bench->outcomes.items[0].outcome, KP_OUTCOME_SUCCEEDED);
        assert_string_equal(kp_peer_request(peer, 1)->target, "/api/v1/profiles");
        fixture_end(bench);
        kp_peer_stop(peer);
    }
}

static void a_renewed_token_is_read(void **state)
{
    struct script script = {.status = 401};
    struct kp_peer *peer = kp_peer_start(route, &script);
    char *dir = kp_test_tmpdir();
    kp_auto_free char *token = kp_asprintf("%s/token", dir);
    char value[80];
    (void)state;
    assert_int_equal(kp_file_write_atomic(token, "old", 3, 0600, NULL), 0);
    struct bench *bench = start(kp_peer_url(peer), token, NULL);
    fixture_put(bench, 1, 10);
    fixture_until(bench, in_trouble, 0);
    assert_int_equal(kp_file_write_atomic(token, "new", 3, 0600, NULL), 0);
    script.status = 201;
    fixture_until(bench, outcomes_are, 1);
    assert_true(kp_peer_header(
        kp_peer_request(peer, kp_peer_requests(peer) - 1), "Authorization", value, sizeof value));
    assert_string_equal(value, "Bearer new");
    fixture_end(bench);
    kp_peer_stop(peer);
    kp_test_rmdir(dir);
}

static void an_absent_registry_is_waited_for(void **state)
{
    char *dir = kp_test_tmpdir();
    kp_auto_free char *nowhere = kp_asprintf("http://127.0.0.1:%d/", kp_test_closed_port());
    struct bench *bench = start(nowhere, NULL, dir);
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        fixture_put(bench, i, 100);
    fixture_until(bench, in_trouble, 0);
    assert_non_null(strstr(kp_sink_trouble(bench->sink), "cannot deliver to the registry"));
    fixture_run(bench, 800); // a tick: to the spool
    fixture_end(bench);

    struct script script = {.status = 201};
    struct kp_peer *peer = kp_peer_start(route, &script);
    bench = start(kp_peer_url(peer), NULL, dir); // a new process, the registry is back
    fixture_until(bench, outcomes_are, 3);
    assert_string_equal(bench->outcomes.items[0].key, "k0");
    assert_string_equal(bench->outcomes.items[2].key, "k2");
    fixture_end(bench);
    kp_peer_stop(peer);
    kp_test_rmdir(dir);
}

static void states_are_posted(void **state)
{
    struct script script = {.status = 204};
    struct kp_peer *peer = kp_peer_start(route, &script);
    struct bench *bench = start(kp_peer_url(peer), NULL, NULL);
    struct kp_state_batch batch = {.namespace = kp_strdup("shop"), .time_ms = 5}, read = {0};
    (void)state;
    fixture_put_state(bench, &batch);
    while (kp_peer_requests(peer) == 0)
        fixture_run(bench, 5);
    const struct kp_peer_request *request = kp_peer_request(peer, 0);
    assert_string_equal(request->target, "/api/v1/targets");
    assert_int_equal(kp_state_batch_decode(request->body, request->body_len, &read, NULL), 0);
    assert_string_equal(read.namespace, "shop");
    kp_state_batch_finish(&read);
    kp_state_batch_finish(&batch);
    fixture_end(bench);
    kp_peer_stop(peer);
}

static void a_wrong_url_is_told(void **state)
{
    struct kp_loop *loop = kp_loop_create();
    const struct kp_sink_registry_options options = {.url = "registry:10100"};
    const struct kp_sink_ops *ops;
    void *self;
    struct kp_error err = {0};
    (void)state;
    assert_int_equal(kp_sink_registry_create(loop, &options, &ops, &self, &err), KP_INVALID);
    assert_non_null(strstr(err.text, "'registry:10100'"));
    kp_loop_destroy(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_capture_arrives_whole),
        cmocka_unit_test(refusals_are_final),
        cmocka_unit_test(what_may_be_mended_is_tried_again),
        cmocka_unit_test(a_renewed_token_is_read),
        cmocka_unit_test(an_absent_registry_is_waited_for),
        cmocka_unit_test(states_are_posted),
        cmocka_unit_test(a_wrong_url_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
