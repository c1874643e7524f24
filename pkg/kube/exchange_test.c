// What is shown of requests, and what must not be.
#include "kube/exchange.h"

#include <string.h>

#include "base/alloc.h"
#include "base/blob.h"
#include "base/strbuf.h"
#include "kube/client_fixture.h"

#include "base/banned.h"

static const char *const request_headers[] = {"Accept: application/json", "X-Quote: a\"b$c", NULL};
static const char *const response_headers[] = {"Content-Type: application/json", NULL};

static void check(const struct kp_kube_exchange *x, int verbosity, const char *expected)
{
    kp_auto_strbuf out;
    kp_strbuf_init(&out, 1 << 20);
    kp_kube_exchange_write(x, verbosity, &out);
    assert_string_equal(out.data, expected);
}

static void test_levels(void **state)
{
    (void)state;
    const struct kp_kube_exchange x = {.method = "GET",
        .url = "https://a:1/x?y='z'",
        .status = 200,
        .total_ms = 12,
        .request_headers = request_headers,
        .response_headers = response_headers,
        .response_body = "{}\n",
        .response_body_len = 3};
    check(&x, 5, "");
    check(&x, 6, "GET https://a:1/x?y='z' 200 OK in 12 milliseconds\n");
    check(&x, 7,
        "GET https://a:1/x?y='z' 200 OK in 12 milliseconds\n"
        "Request Headers:\n    Accept: application/json\n    X-Quote: a\"b$c\n");
#define EIGHT                                                                                                \
    "GET https://a:1/x?y='z' 200 OK in 12 milliseconds\n"                                                    \
    "Request Headers:\n    Accept: application/json\n    X-Quote: a\"b$c\n"                                  \
    "Response Headers:\n    Content-Type: application/json\nResponse Body: {}\n"
    check(&x, 8, EIGHT);
    check(&x, 9,
        "curl -v -XGET -H \"Accept: application/json\" -H \"X-Quote: a\\\"b\\$c\" "
        "'https://a:1/x?y='\\''z'\\'''\n" EIGHT);
}

static void test_no_answer(void **state)
{
    (void)state;
    check(&(struct kp_kube_exchange){.method = "GET", .url = "u", .error = "refused", .total_ms = 3}, 6,
        "GET u in 3 milliseconds: refused\n");
    check(&(struct kp_kube_exchange){.method = "GET", .url = "u", .status = 299, .total_ms = 3}, 6,
        "GET u 299 in 3 milliseconds\n");
}

static void test_bodies_are_cut(void **state)
{
    (void)state;
    kp_auto_free char *body = kp_alloc(2001);
    memset(body, 'a', 2000);
    memcpy(body + 1023, "\xC3\xA4", 2); // across the cut
    body[2000] = '\0';
    struct kp_kube_exchange x = {
        .method = "GET", .url = "u", .status = 200, .response_body = body, .response_body_len = 5000};
    kp_auto_strbuf out;
    kp_strbuf_init(&out, 1 << 20);
    kp_kube_exchange_write(&x, 8, &out);
    assert_non_null(strstr(out.data, "aaa [truncated 3977 chars]\n"));
    kp_strbuf_clear(&out);
    kp_kube_exchange_write(&x, 9, &out);
    assert_non_null(strstr(out.data, "aaa [truncated 3000 chars]\n"));
    kp_strbuf_clear(&out);
    x.response_body = NULL;
    kp_kube_exchange_write(&x, 9, &out);
    assert_non_null(strstr(out.data, "Response Body: <5000 bytes>\n"));
}

// ---- through a client ----

struct seen {
    struct fixture f;
    struct kp_strbuf text;
    int exchanges;
};

static void on_exchange(void *user, const struct kp_kube_exchange *exchange)
{
    struct seen *s = user;
    s->exchanges++;
    kp_kube_exchange_write(exchange, 9, &s->text);
}

static void seen_begin(struct seen *s, const struct peer_step *steps, size_t n, size_t max_body)
{
    memset(s, 0, sizeof *s);
    kp_strbuf_init(&s->text, 1 << 20);
    s->f.peer = peer_start(steps, n);
    kp_auto_free char *server = kp_asprintf("http://127.0.0.1:%d", s->f.peer->port);
    const struct kp_kube_config config = {
        .server = server, .token = (char[]){"s3cret"}, .as = (char[]){"ann"}};
    s->f.loop = kp_loop_create();
    s->f.metrics = kp_metrics_create();
    s->f.kube = kp_kube_create(s->f.loop, &config,
        &(struct kp_kube_options){
            .on_exchange = on_exchange, .exchange_user = s, .exchange_max_body = max_body});
}

static void seen_end(struct seen *s)
{
    kp_strbuf_finish(&s->text);
    end(&s->f);
}

static void says(const struct seen *s, const char *what)
{
    if (!strstr(s->text.data, what))
        fail_msg("'%s' is not in: %s", what, s->text.data);
}

static void says_not(const struct seen *s, const char *what)
{
    if (strstr(s->text.data, what))
        fail_msg("'%s' is in: %s", what, s->text.data);
}

static void test_every_try_is_told_without_the_token(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {{NULL, 503, "Set-Cookie: s3cret\r\n", "down", 0, 0, PEER_WHOLE},
        {NULL, 200, NULL, "{\"kind\":\"Pod\"}", 0, 0, PEER_WHOLE}};
    struct seen s;
    struct kp_blob *body = kp_blob_copy("{\"a\":1}", 7);
    seen_begin(&s, steps, 2, 1 << 20);
    start(&s.f, (struct kp_kube_request){
                    .method = "PUT", .path = "/x?y=z", .content_type = "application/json", .body = body});
    wait(&s.f);
    assert_int_equal(s.f.error.code, KP_OK);
    assert_string_equal(s.f.json, "{\"kind\":\"Pod\"}");
    assert_int_equal(s.exchanges, 2);
    says(&s, "/x?y=z 503 Service Unavailable in ");
    says(&s, "/x?y=z 200 OK in ");
    says(&s, "    Authorization: Bearer <masked>\n");
    says(&s, "    Impersonate-User: ann\n");
    says(&s, "    Set-Cookie: <masked>\n");
    says(&s, "Request Body: {\"a\":1}\n");
    says(&s, "Response Body: {\"kind\":\"Pod\"}\n");
    says_not(&s, "s3cret");
    kp_blob_unref(body);
    seen_end(&s);
}

static void test_secrets_are_masked(void **state)
{
    static const char *const paths[] = {"/api/v1/namespaces/n/secrets/x", "/api/v1/secrets?limit=5",
        "/api/v1/namespaces/n/serviceaccounts/a/token", "/apis/authentication.k8s.io/v1/tokenreviews"};
    (void)state;
    for (size_t i = 0; i < KP_COUNT(paths); i++) {
        static const struct peer_step step = {NULL, 200, NULL, "{\"data\":\"hunter2\"}", 0, 0, PEER_WHOLE};
        struct seen s;
        struct kp_blob *body = kp_blob_copy("hunter2", 7);
        seen_begin(&s, &step, 1, 1 << 20);
        start(&s.f, (struct kp_kube_request){.method = "PUT", .path = paths[i], .body = body});
        wait(&s.f);
        says(&s, "Request Body: <masked>");
        says(&s, "Response Body: <masked>");
        says_not(&s, "hunter2");
        kp_blob_unref(body);
        seen_end(&s);
    }
}

static bool take(void *user, const uint8_t *data, size_t len)
{
    (void)user;
    (void)data;
    (void)len;
    return true;
}

static void test_bodies_in_pieces_and_bytes(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {{NULL, 200, NULL, "0123456789", 0, 3, PEER_CHUNKED},
        {NULL, 200, NULL, "\x1f\x8b\0x", 4, 0, PEER_WHOLE}};
    struct seen s;
    seen_begin(&s, steps, 2, 7);
    start(&s.f, (struct kp_kube_request){.method = "GET", .path = "/x", .on_data = take});
    wait(&s.f);
    says(&s, "Response Body: 0123456 [truncated 3 chars]\n");
    s.f.answers = s.f.wanted = 0;
    start(&s.f, (struct kp_kube_request){.method = "GET", .path = "/x", .on_data = take});
    wait(&s.f);
    says(&s, "Response Body: <4 bytes>\n");
    seen_end(&s);
    static const struct peer_step step = {NULL, 200, NULL, "abc", 0, 0, PEER_WHOLE};
    seen_begin(&s, &step, 1, 0); // nobody asked for bodies
    start(&s.f, (struct kp_kube_request){.method = "GET", .path = "/x"});
    wait(&s.f);
    says(&s, "Response Body: <3 bytes>\n");
    seen_end(&s);
}

static void test_told_also_when_canceled(void **state)
{
    (void)state;
    struct seen s;
    bool never = false;
    seen_begin(&s, NULL, 0, 0);
    start(&s.f, (struct kp_kube_request){.method = "GET", .path = "/x"});
    (void)kp_loop_run_until(s.f.loop, &never, 30);
    kp_kube_destroy(s.f.kube);
    s.f.kube = NULL;
    assert_int_equal(s.exchanges, 1);
    assert_int_equal(s.f.answers, 1);
    seen_end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_no_answer),
        cmocka_unit_test(test_bodies_are_cut),
        cmocka_unit_test(test_every_try_is_told_without_the_token),
        cmocka_unit_test(test_secrets_are_masked),
        cmocka_unit_test(test_bodies_in_pieces_and_bytes),
        cmocka_unit_test(test_told_also_when_canceled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
