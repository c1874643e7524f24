// Every outcome that arises at a scrape, provoked by a scripted peer.
#include "capture/capture_fixture.h"
#include "base/banned.h"

#define ANSWER(head, body) "HTTP/1.1 " head "\r\nConnection: close\r\n\r\n" body

static void a_profile_is_captured_whole(void **state)
{
    static const struct kp_step script[] = {
        KP_STEP_TEXT(ANSWER("200 OK", FIXTURE_PROFILE)), KP_STEP_CLOSE, KP_STEP_END};
    struct kp_peer *peer = kp_peer_start_script(script);
    struct bench *bench = fixture_start((struct kp_capture_options){0}, true);
    char value[80], want[80];
    (void)state;
    bench->target.port = (uint16_t)kp_peer_port(peer);
    bench->wanted.type = "cpu";
    bench->wanted.path = "/debug/pprof/profile";
    const struct result_seen *seen = fixture_capture(bench, 1500, NULL);
    assert_string_equal(seen->message, "");
    assert_int_equal(seen->outcome, KP_OUTCOME_SUCCEEDED);
    assert_int_equal(seen->bytes, sizeof FIXTURE_PROFILE - 1);
    assert_memory_equal(seen->body->data, FIXTURE_PROFILE, sizeof FIXTURE_PROFILE - 1);
    const struct kp_peer_request *request = kp_peer_request(peer, 0);
    assert_string_equal(request->method, "GET");
    assert_string_equal(request->target, "/debug/pprof/profile?seconds=2");
    assert_true(kp_peer_header(request, "Host", value, sizeof value));
    snprintf(want, sizeof want, "127.0.0.1:%d", kp_peer_port(peer));
    assert_string_equal(value, want);
    assert_true(kp_peer_header(request, "User-Agent", value, sizeof value));
    assert_true(kp_starts_with(value, "kube-pprof/"));
    assert_false(kp_peer_header(request, "Authorization", value, sizeof value));

    const struct kp_record *record = &seen->record;
    char key[KP_CAPTURE_KEY_TEXT];
    kp_capture_key(
        key, "uid-1", "app", (uint32_t)kp_peer_port(peer), "/debug/pprof/profile", "cpu", 1764000000000);
    assert_string_equal(record->key, key);
    assert_string_equal(record->image_digest, FIXTURE_DIGEST);
    assert_string_equal(record->policies, "shop/checkout,/all");
    assert_string_equal(record->workload_kind, "Deployment");
    assert_string_equal(record->workload_name, "checkout");
    assert_string_equal(record->revision, "abc");
    assert_string_equal(record->version, "1.2");
    assert_string_equal(record->container_id, "containerd://abc");
    assert_string_equal(record->format, "pprof");
    assert_string_equal(kp_labels_get(record->labels, "team"), "pay");
    assert_int_equal(record->restarts, 2);
    assert_int_equal(record->container_started_ms, 1763000000000);
    assert_int_equal(record->sample_k, 3);
    assert_int_equal(record->sample_n, 12);
    assert_int_equal(record->interval_ms, 600000);
    assert_int_equal(record->retention_ms, 86400000);
    assert_true(record->start_ms > 1764000000000 && record->end_ms >= record->start_ms);
    struct kp_error err = {0};
    if (kp_record_check(record, &err) != 0)
        fail_msg("the registry would refuse it: %s", err.text);
    fixture_end(bench);
    kp_peer_stop(peer);
}

struct row {
    struct kp_step script[4]; // ends with zeroes
    enum kp_outcome outcome;
    const char *words; // in the message
    int64_t duration_ms;
    bool opaque;
};

static char bulk[4096];

static const struct row rows[] = {
    {.script = {KP_STEP_TEXT(ANSWER("200 OK", "\x0a\x04\x08\x01\x10\x02")), KP_STEP_CLOSE},
        .outcome = KP_OUTCOME_SUCCEEDED,
        .words = ""},
    {.script = {KP_STEP_TEXT("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")},
        .outcome = KP_OUTCOME_EMPTY,
        .words = "empty answer"},
    {.script = {KP_STEP_TEXT(
                    ANSWER("200 OK\r\nContent-Type: text/html", "<!DOCTYPE html><title>secret</title>")),
         KP_STEP_CLOSE},
        .outcome = KP_OUTCOME_NOT_PPROF,
        .words = "text/html"},
    {.script = {KP_STEP_TEXT(ANSWER("200 OK\r\nContent-Type: text/plain", "goroutine profile: total 7\n")),
         KP_STEP_CLOSE},
        .outcome = KP_OUTCOME_NOT_PPROF,
        .words = "text/plain"},
    {.script = {KP_STEP_TEXT(ANSWER("200 OK", "{\"a\":1}")), KP_STEP_CLOSE},
        .outcome = KP_OUTCOME_NOT_PPROF,
        .words = "port and path"},
    {.script = {KP_STEP_TEXT(ANSWER("200 OK", "go 1.22 trace\0\0\0")), KP_STEP_CLOSE},
        .outcome = KP_OUTCOME_SUCCEEDED,
        .words = "",
        .duration_ms = 1000,
        .opaque = true},
    {.script = {KP_STEP_TEXT(ANSWER("500 Internal Server Error\r\nX-Go-Pprof: 1",
                    "Could not enable CPU profiling: cpu profiling already in use\n")),
         KP_STEP_CLOSE},
        .outcome = KP_OUTCOME_BUSY,
        .words = "another profiler",
        .duration_ms = 1000},
    {.script = {KP_STEP_TEXT(ANSWER("500 Internal Server Error\r\nX-Go-Pprof: 1",
                    "Could not enable tracing: tracing is already enabled\n")),
         KP_STEP_CLOSE},
        .outcome = KP_OUTCOME_BUSY,
        .words = "another profiler",
        .duration_ms = 1000,
        .opaque = true},
    {.script = {KP_STEP_TEXT(ANSWER(
                    "400 Bad Request\r\nX-Go-Pprof: 1", "profile duration exceeds server's WriteTimeout\n")),
         KP_STEP_CLOSE},
        .outcome = KP_OUTCOME_HTTP_ERROR,
        .words = "WriteTimeout",
        .duration_ms = 1000},
    {.script = {KP_STEP_TEXT(ANSWER("404 Not Found", "secret")), KP_STEP_CLOSE},
        .outcome = KP_OUTCOME_NOT_SERVED,
        .words = "404"},
    {.script = {KP_STEP_TEXT(ANSWER("401 Unauthorized", "secret")), KP_STEP_CLOSE},
        .outcome = KP_OUTCOME_DENIED,
        .words = "401"},
    {.script = {KP_STEP_TEXT(ANSWER("403 Forbidden", "secret")), KP_STEP_CLOSE},
        .outcome = KP_OUTCOME_DENIED,
        .words = "403"},
    {.script = {KP_STEP_TEXT(ANSWER("502 Bad Gateway", "secret")), KP_STEP_CLOSE},
        .outcome = KP_OUTCOME_HTTP_ERROR,
        .words = "502"},
    {.script = {KP_STEP_HANG}, .outcome = KP_OUTCOME_TIMEOUT, .words = "in time"},
    {.script = {KP_STEP_TEXT("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n\x1f\x8b"), KP_STEP_HANG},
        .outcome = KP_OUTCOME_TIMEOUT,
        .words = "asked for 500ms",
        .duration_ms = 500},
    {.script = {KP_STEP_RESET}, .outcome = KP_OUTCOME_UNREACHABLE, .words = "closed the connection"},
    {.script = {KP_STEP_TEXT("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n\x1f\x8b"), KP_STEP_CLOSE},
        .outcome = KP_OUTCOME_UNREACHABLE,
        .words = "before the whole answer"},
    {.script = {KP_STEP_CLOSE}, .outcome = KP_OUTCOME_UNREACHABLE, .words = "closed the connection"},
    {.script = {KP_STEP_TEXT("SSH-2.0-OpenSSH_9.2\r\n"), KP_STEP_CLOSE},
        .outcome = KP_OUTCOME_NOT_PPROF,
        .words = "does not speak HTTP"},
    {.script = {KP_STEP_TEXT("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n\x1f\x8b"),
         KP_STEP_REPEAT(bulk, sizeof bulk, 3 << 20), KP_STEP_CLOSE},
        .outcome = KP_OUTCOME_TOO_LARGE,
        .words = "more than 1Mi (budget.profileBytes)"},
};

static void every_answer_has_its_outcome(void **state)
{
    (void)state;
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        const struct kp_capture_options options = {
            .slack_ms = rows[i].outcome == KP_OUTCOME_TIMEOUT ? 1000 : 0};
        struct bench *bench = fixture_start(options, true);
        struct kp_peer *peer = kp_peer_start_script(rows[i].script);
        bench->target.port = (uint16_t)kp_peer_port(peer);
        bench->wanted.opaque = rows[i].opaque;
        const struct result_seen *seen = fixture_capture(bench, rows[i].duration_ms, NULL);
        if (seen->outcome != rows[i].outcome || strstr(seen->message, rows[i].words) == NULL)
            fail_msg("row %zu: %s: %s", i, kp_outcome_info(seen->outcome)->name, seen->message);
        assert_null(strstr(seen->message, "secret")); // bodies are never repeated
        assert_int_equal(seen->message[0] == '\0', seen->outcome == KP_OUTCOME_SUCCEEDED);
        fixture_end(bench);
        kp_peer_stop(peer);
    }
}

static void nobody_listening_is_told(void **state)
{
    struct bench *bench = fixture_start((struct kp_capture_options){0}, true);
    char want[40];
    (void)state;
    bench->target.port = (uint16_t)kp_test_closed_port();
    const struct result_seen *seen = fixture_capture(bench, 0, NULL);
    assert_int_equal(seen->outcome, KP_OUTCOME_UNREACHABLE);
    snprintf(want, sizeof want, "127.0.0.1 port %u", bench->target.port);
    assert_non_null(strstr(seen->message, want));
    assert_non_null(strstr(seen->message, "0.0.0.0"));
    fixture_end(bench);
}

static const struct kp_step *redirect(void *user, struct kp_peer *peer, const struct kp_peer_request *request)
{
    (void)request;
    return kp_peer_answer_with(peer, 302, user, "text/plain", "", 0);
}

static void redirects_are_never_followed(void **state)
{
    static const struct kp_step script[] = {
        KP_STEP_TEXT(ANSWER("200 OK", FIXTURE_PROFILE)), KP_STEP_CLOSE, KP_STEP_END};
    struct kp_peer *elsewhere = kp_peer_start_script(script);
    kp_auto_free char *location = kp_asprintf("Location: %s/metadata\r\n", kp_peer_url(elsewhere));
    struct kp_peer *peer = kp_peer_start(redirect, location);
    struct bench *bench = fixture_start((struct kp_capture_options){0}, true);
    (void)state;
    bench->target.port = (uint16_t)kp_peer_port(peer);
    const struct result_seen *seen = fixture_capture(bench, 0, NULL);
    assert_int_equal(seen->outcome, KP_OUTCOME_HTTP_ERROR);
    assert_non_null(strstr(seen->message, "redirects are never followed"));
    assert_int_equal(kp_peer_requests(peer), 1);
    assert_int_equal(kp_peer_connections(elsewhere), 0);
    fixture_end(bench);
    kp_peer_stop(peer);
    kp_peer_stop(elsewhere);
}

static void plain_http_behind_https_is_a_tls_error(void **state)
{
    static const struct kp_step script[] = {KP_STEP_TEXT(ANSWER("400 Bad Request", "")), KP_STEP_CLOSE};
    struct kp_peer *peer = kp_peer_start_script(script);
    struct bench *bench = fixture_start((struct kp_capture_options){0}, true);
    const struct kp_capture_secrets secrets = {.ca_pem = "not a certificate"};
    (void)state;
    bench->target.port = (uint16_t)kp_peer_port(peer);
    bench->target.https = true;
    const struct result_seen *seen = fixture_capture(bench, 0, &secrets);
    assert_int_equal(seen->outcome, KP_OUTCOME_TLS_ERROR);
    assert_non_null(strstr(seen->message, "TLS with 127.0.0.1:"));
    fixture_end(bench);
    kp_peer_stop(peer);
}

static void credentials_want_verified_https(void **state)
{
    static const struct kp_step script[] = {KP_STEP_TEXT(ANSWER("200 OK", FIXTURE_PROFILE)), KP_STEP_CLOSE};
    struct kp_peer *peer = kp_peer_start_script(script);
    struct bench *bench = fixture_start((struct kp_capture_options){0}, true);
    const struct kp_capture_secrets kinds[] = {
        {.bearer = "hush"}, {.username = "me", .password = "hush"}, {.cert_pem = "x", .key_pem = "hush"}};
    (void)state;
    bench->target.port = (uint16_t)kp_peer_port(peer);
    bench->endpoint.tls_insecure = true;
    for (size_t i = 0; i < 2 * KP_COUNT(kinds); i++) {
        bench->target.https = i >= KP_COUNT(kinds);
        bench->wanted.endpoint = bench->target.https ? &bench->endpoint : NULL;
        const struct result_seen *seen = fixture_capture(bench, 0, &kinds[i % KP_COUNT(kinds)]);
        assert_int_equal(seen->outcome, KP_OUTCOME_REFUSED);
        assert_non_null(strstr(seen->message, "verified HTTPS"));
        assert_null(strstr(seen->message, "hush"));
    }
    assert_int_equal(kp_peer_connections(peer), 0);
    fixture_end(bench);
    kp_peer_stop(peer);
}

static void forbidden_addresses_get_no_packet(void **state)
{
    static const struct kp_step script[] = {KP_STEP_TEXT(ANSWER("200 OK", FIXTURE_PROFILE)), KP_STEP_CLOSE};
    static const char *const addresses[] = {"127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "0.0.0.0",
        "::", "169.254.169.254", "fe80::1", "224.0.0.1", "ff02::1", "255.255.255.255", "10.96.0.1",
        "::ffff:10.96.3.4", "", "localhost", "127.1", "2130706433", "10.9.9.9"};
    static const char *const denied[] = {"10.96.0.0/12", NULL};
    struct kp_peer *peer = kp_peer_start_script(script);
    struct bench *bench = fixture_start((struct kp_capture_options){.denied_cidrs = denied}, false);
    (void)state;
    bench->target.port = (uint16_t)kp_peer_port(peer);
    for (size_t i = 0; i < KP_COUNT(addresses); i++) {
        bench->pod.ip = addresses[i];
        const struct result_seen *seen = fixture_capture(bench, 0, NULL);
        if (seen->outcome != KP_OUTCOME_REFUSED)
            fail_msg("%s: %s %s", addresses[i], kp_outcome_info(seen->outcome)->name, seen->message);
        assert_true(seen->message[0] != '\0');
    }
    assert_int_equal(kp_peer_connections(peer), 0);
    fixture_end(bench);
    kp_peer_stop(peer);
}

static void services_learned_while_running_get_no_packet(void **state)
{
    static const struct kp_step script[] = {KP_STEP_TEXT(ANSWER("200 OK", FIXTURE_PROFILE)), KP_STEP_CLOSE};
    static const char *const services[] = {"127.0.0.0/16", NULL};
    struct kp_peer *peer = kp_peer_start_script(script);
    struct bench *bench = fixture_start((struct kp_capture_options){0}, true);
    (void)state;
    bench->target.port = (uint16_t)kp_peer_port(peer);
    assert_int_equal(fixture_capture(bench, 0, NULL)->outcome, KP_OUTCOME_SUCCEEDED);
    int connections = kp_peer_connections(peer);
    assert_int_equal(kp_capturer_learn_denied(bench->capturer, services), 1);
    const struct result_seen *seen = fixture_capture(bench, 0, NULL);
    assert_int_equal(seen->outcome, KP_OUTCOME_REFUSED);
    assert_non_null(strstr(seen->message, "127.0.0.0/16"));
    assert_int_equal(kp_peer_connections(peer), connections);
    fixture_end(bench);
    kp_peer_stop(peer);
}

static int64_t an_hour_ahead(void)
{
    return kp_now_ms() + 3600000;
}

// It began by a clock that was an hour ahead and was set right before the capture ended: its window is as
// long as it took, or the registry would refuse it as one that ends before it begins.
static void a_clock_that_is_set_does_not_reach_into_the_window(void **state)
{
    static const struct kp_step script[] = {KP_STEP_TEXT(ANSWER("200 OK", FIXTURE_PROFILE)), KP_STEP_CLOSE};
    struct kp_peer *peer = kp_peer_start_script(script);
    struct bench *bench = fixture_start((struct kp_capture_options){.now_ms = an_hour_ahead}, true);
    struct kp_error err = {0};
    (void)state;
    bench->target.port = (uint16_t)kp_peer_port(peer);
    const struct result_seen *seen = fixture_capture(bench, 0, NULL);
    assert_int_equal(seen->outcome, KP_OUTCOME_SUCCEEDED);
    if (kp_record_check(&seen->record, &err) != 0)
        fail_msg("the registry would refuse it: %s", err.text);
    assert_in_range(seen->record.end_ms - seen->record.start_ms, 0, 30000);
    fixture_end(bench);
    kp_peer_stop(peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_profile_is_captured_whole),
        cmocka_unit_test(every_answer_has_its_outcome),
        cmocka_unit_test(nobody_listening_is_told),
        cmocka_unit_test(redirects_are_never_followed),
        cmocka_unit_test(plain_http_behind_https_is_a_tls_error),
        cmocka_unit_test(credentials_want_verified_https),
        cmocka_unit_test(forbidden_addresses_get_no_packet),
        cmocka_unit_test(services_learned_while_running_get_no_packet),
        cmocka_unit_test(a_clock_that_is_set_does_not_reach_into_the_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
