// Requests whose answers are handed out as they come, and what requests say about who is asking.
#include "kube/client_fixture.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/blob.h"
#include "base/strbuf.h"
#include "kube/kubeconfig.h"

#include "base/banned.h"

struct raw {
    struct fixture f;
    struct kp_strbuf body;
    size_t stop_at; // refuse once that many bytes came; 0 = never
    int heads;
    bool refuse_head;
    char content_type[64];
    struct kp_strbuf refusal;
};

static bool on_head(void *user, int http_status, const char *content_type)
{
    struct raw *r = user;
    r->heads++;
    assert_int_equal(http_status, 200);
    snprintf(r->content_type, sizeof r->content_type, "%s", content_type);
    return !r->refuse_head;
}

static bool on_data(void *user, const uint8_t *data, size_t len)
{
    struct raw *r = user;
    kp_strbuf_add(&r->body, data, len);
    return r->stop_at == 0 || r->body.len < r->stop_at;
}

static void on_refusal(void *user, int http_status, const char *content_type, const void *body, size_t len)
{
    struct raw *r = user;
    assert_int_equal(http_status, 500);
    assert_string_equal(content_type, "application/json");
    kp_strbuf_add(&r->refusal, body, len);
}

static void on_raw_done(void *user, int http_status, json_t *json, const struct kp_error *err)
{
    struct raw *r = user;
    assert_null(json);
    on_done(&r->f, http_status, NULL, err);
}

static void raw_begin(struct raw *r, const struct peer_step *steps, size_t n)
{
    memset(r, 0, sizeof *r);
    kp_strbuf_init(&r->body, 64 << 20);
    kp_strbuf_init(&r->refusal, 1 << 20);
    begin(&r->f, steps, n);
}

static struct kp_kube_call *raw_start(struct raw *r, struct kp_kube_request request)
{
    struct kp_kube_call *call = NULL;
    struct kp_error err = {0};
    request.method = "GET";
    request.path = "/p";
    request.on_head = on_head;
    request.on_data = on_data;
    request.on_done = on_raw_done;
    request.user = r;
    r->f.wanted = r->f.answers + 1;
    if (kp_kube_start(r->f.kube, &request, &call, &err) < 0)
        fail_msg("%s", err.text);
    return call;
}

static void raw_end(struct raw *r)
{
    kp_strbuf_finish(&r->body);
    kp_strbuf_finish(&r->refusal);
    end(&r->f);
}

static char *large(size_t len)
{
    char *text = kp_alloc(len + 1);
    for (size_t i = 0; i < len; i++)
        text[i] = (char)('a' + i % 23);
    text[len] = '\0';
    return text;
}

static void test_body_in_pieces(void **state)
{
    (void)state;
    enum { LEN = 20 << 20 }; // more than any JSON may be
    kp_auto_free char *body = large(LEN);
    const struct peer_step steps[] = {{"X-Extra: yes\r\n", 200, NULL, body, LEN, 1 << 16, PEER_CHUNKED},
        {"Authorization: Bearer secret\r\n", 200, NULL, "", 0, 0, PEER_WHOLE}};
    const char *const headers[] = {"X-Extra: yes", NULL};
    struct raw r;
    raw_begin(&r, steps, 2);
    raw_start(&r, (struct kp_kube_request){.headers = headers, .accept = "*/*", .max_tries = 1});
    wait(&r.f);
    assert_int_equal(r.f.error.code, KP_OK);
    assert_int_equal(r.f.status, 200);
    assert_int_equal(r.body.len, LEN);
    assert_memory_equal(r.body.data, body, LEN);
    assert_string_equal(r.content_type, "application/json");
    assert_int_equal(r.heads, 1);
    assert_non_null(strstr(r.f.peer->seen[0], "Accept: */*\r\n"));
    kp_strbuf_clear(&r.body);
    raw_start(&r, (struct kp_kube_request){0}); // an empty answer
    wait(&r.f);
    assert_int_equal(r.f.error.code, KP_OK);
    assert_int_equal(r.body.len, 0);
    assert_int_equal(r.heads, 2);
    raw_end(&r);
}

static void test_the_words_of_what_is_behind_the_server(void **state)
{
    (void)state;
    const struct peer_step steps[] = {{NULL, 500, NULL, "busy at first", 0, 0, PEER_WHOLE},
        {NULL, 500, NULL, "cpu profiling already in use", 0, 0, PEER_WHOLE}};
    struct raw r;
    raw_begin(&r, steps, 2);
    raw_start(&r, (struct kp_kube_request){.max_tries = 2, .on_refusal = on_refusal});
    wait(&r.f);
    assert_int_equal(r.f.status, 500);
    assert_int_equal(r.heads, 0);
    assert_string_equal(r.refusal.data, "cpu profiling already in use"); // of the last try only
    raw_end(&r);
}

static void test_limit(void **state)
{
    (void)state;
    const struct peer_step step = {NULL, 200, NULL, "0123456789", 0, 0, PEER_WHOLE};
    struct raw r;
    raw_begin(&r, &step, 1);
    raw_start(&r, (struct kp_kube_request){.max_body = 9});
    wait(&r.f);
    assert_int_equal(r.f.error.code, KP_LIMIT);
    raw_end(&r);
}

static void test_refusals_are_not_handed_out(void **state)
{
    (void)state;
    const struct peer_step steps[] = {{NULL, 503, NULL, STATUS(503, "ServiceUnavailable"), 0, 0, PEER_WHOLE},
        {NULL, 403, NULL, STATUS(403, "Forbidden"), 0, 0, PEER_WHOLE}};
    struct raw r;
    raw_begin(&r, steps, 2);
    raw_start(&r, (struct kp_kube_request){.max_tries = 3}); // the first may be repeated
    wait(&r.f);
    assert_int_equal(r.f.error.code, KP_DENIED);
    assert_int_equal(r.f.error.http_status, 403);
    assert_string_equal(r.f.error.text, "because Forbidden");
    assert_int_equal(r.body.len, 0);
    assert_int_equal(r.heads, 0);
    raw_end(&r);
}

static void test_never_repeated_once_something_was_handed_out(void **state)
{
    (void)state;
    const struct peer_step steps[] = {
        {NULL, 200, NULL, "half of it", 0, 0, PEER_CUT}, {NULL, 200, NULL, "all", 0, 0, PEER_WHOLE}};
    struct raw r;
    raw_begin(&r, steps, 2);
    raw_start(&r, (struct kp_kube_request){0});
    wait(&r.f);
    assert_int_equal(r.f.error.code, KP_NETWORK);
    assert_string_equal(r.body.data, "half of it");
    assert_int_equal(peer_seen(r.f.peer), 1);
    raw_end(&r);
}

static void test_receiver_stops(void **state)
{
    (void)state;
    const struct peer_step steps[] = {{NULL, 200, NULL, "0123456789", 0, 2, PEER_HOLD},
        {NULL, 200, NULL, "0123456789", 0, 2, PEER_HOLD}, {NULL, 200, NULL, "01", 0, 2, PEER_HOLD}};
    struct raw r;
    raw_begin(&r, steps, 3);
    r.stop_at = 1;
    raw_start(&r, (struct kp_kube_request){0});
    wait(&r.f);
    assert_int_equal(r.f.error.code, KP_CANCELED);
    r.refuse_head = true;
    kp_strbuf_clear(&r.body);
    raw_start(&r, (struct kp_kube_request){0});
    wait(&r.f);
    assert_int_equal(r.f.error.code, KP_CANCELED);
    assert_int_equal(r.body.len, 0);
    r.refuse_head = false;
    r.stop_at = 0;
    struct kp_kube_call *call = raw_start(&r, (struct kp_kube_request){0});
    bool never = false;
    for (int i = 0; i < 500 && r.body.len < 2; i++)
        (void)kp_loop_run_until(r.f.loop, &never, 10);
    assert_int_equal(r.body.len, 2);
    kp_kube_cancel(call);
    wait(&r.f);
    assert_int_equal(r.f.error.code, KP_CANCELED);
    raw_end(&r);
}

static void test_silence_has_a_limit_when_asked_for(void **state)
{
    (void)state;
    const struct peer_step step = {NULL, 200, NULL, "0", 0, 0, PEER_HOLD};
    struct raw r;
    raw_begin(&r, &step, 1);
    raw_start(&r, (struct kp_kube_request){.idle_timeout_ms = 100, .max_tries = 1});
    wait(&r.f);
    assert_int_equal(r.f.error.code, KP_TIMEOUT);
    raw_end(&r);
}

// ---- who is asking ----

static void ask_as(struct kp_kube_config config, const struct peer_step *steps)
{
    struct fixture f;
    begin_as(&f, steps, 1, config, 0);
    start(&f, (struct kp_kube_request){.method = "GET", .path = "/x"});
    wait(&f);
    assert_int_equal(f.error.code, KP_OK);
    end(&f);
}

static void test_impersonation(void **state)
{
    (void)state;
    char *groups[] = {(char[]){"dev"}, (char[]){"ops"}, NULL};
    struct kp_kube_pair extra[] = {
        {(char[]){"acme.com/Team"}, (char[]){"a b"}}, {(char[]){"scopes"}, (char[]){"view"}}};
    const struct peer_step step = {"Impersonate-User: ann\r\n"
                                   "Impersonate-Uid: u-1\r\n"
                                   "Impersonate-Group: dev\r\n"
                                   "Impersonate-Group: ops\r\n"
                                   "Impersonate-Extra-acme.com%2FTeam: a b\r\n"
                                   "Impersonate-Extra-scopes: view\r\n",
        200, NULL, "{}", 0, 0, PEER_WHOLE};
    ask_as((struct kp_kube_config){.as = (char[]){"ann"},
               .as_uid = (char[]){"u-1"},
               .as_groups = groups,
               .as_extra = extra,
               .n_as_extra = 2},
        &step);
}

static void test_basic_authentication(void **state)
{
    (void)state;
    const struct peer_step step = {
        "Authorization: Basic YW5uOnMzY3JldA==\r\n", 200, NULL, "{}", 0, 0, PEER_WHOLE};
    ask_as((struct kp_kube_config){.username = (char[]){"ann"}, .password = (char[]){"s3cret"}}, &step);
}

static void test_header_injection_is_refused(void **state)
{
    (void)state;
    struct fixture f;
    struct kp_error err = {0};
    begin_as(&f, NULL, 0, (struct kp_kube_config){.as = (char[]){"ann\r\nX: y"}}, 0);
    const struct kp_kube_request request = {.method = "GET", .path = "/x", .on_done = on_done, .user = &f};
    assert_int_equal(kp_kube_start(f.kube, &request, NULL, &err), KP_INVALID);
    end(&f);
}

// What kubectl says when nothing is configured.
static void test_last_resort_refused(void **state)
{
    (void)state;
    struct fixture f;
    begin_as(&f, NULL, 0, (struct kp_kube_config){.last_resort = (char[]){"there is no kubeconfig"}}, 0);
    kp_auto_free char *failure = peer_stop(f.peer);
    assert_null(failure);
    start(&f, (struct kp_kube_request){.method = "GET", .path = "/x", .max_tries = 1});
    wait(&f);
    assert_int_equal(f.error.code, KP_NETWORK);
    assert_non_null(
        strstr(f.error.text, "was refused - did you specify the right host or port? (there is no"));
    f.peer = peer_start(NULL, 0);
    end(&f);
}

static void test_base_path(void **state)
{
    (void)state;
    const struct peer_step step = {
        "GET /k8s/clusters/c-1/api/v1/pods?a=b HTTP/1.1\r\n", 200, NULL, "{}", 0, 0, PEER_WHOLE};
    struct peer *peer = peer_start(&step, 1);
    kp_auto_free char *server = kp_asprintf("http://127.0.0.1:%d/k8s/clusters/c-1", peer->port);
    struct fixture f = {.loop = kp_loop_create(), .metrics = kp_metrics_create(), .peer = peer};
    f.kube = kp_kube_create(f.loop, &(struct kp_kube_config){.server = server}, NULL);
    start(&f, (struct kp_kube_request){.method = "GET", .path = "/api/v1/pods?a=b"});
    wait(&f);
    assert_int_equal(f.error.code, KP_OK);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_body_in_pieces),
        cmocka_unit_test(test_the_words_of_what_is_behind_the_server),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_refusals_are_not_handed_out),
        cmocka_unit_test(test_never_repeated_once_something_was_handed_out),
        cmocka_unit_test(test_receiver_stops),
        cmocka_unit_test(test_silence_has_a_limit_when_asked_for),
        cmocka_unit_test(test_impersonation),
        cmocka_unit_test(test_basic_authentication),
        cmocka_unit_test(test_header_injection_is_refused),
        cmocka_unit_test(test_last_resort_refused),
        cmocka_unit_test(test_base_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
