// Tokens and rights: what is asked of the API server, what is kept, what is refused.
#include "auth/auth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "auth/auth_fixture.h"
#include "base/banned.h"

#define X     "/api/v1/x"
#define READ  X "?verb=get&namespace=shop"
#define MERGE X "?verb=get&subresource=merge&namespace=shop"

static struct fixture *start(void)
{
    struct fixture *f = fixture_start((struct kp_auth_options){0}, NULL);
    kp_test_api_grant(f->api, "ann", "get", NULL, "shop");
    return f;
}

// ---- tokens ----

static void test_a_token_is_its_users(void **state)
{
    (void)state;
    struct fixture *f = start();
    assert_int_equal(ask(f, X, "ann@kube-pprof"), 200);
    assert_string_equal(f->body, "token: ann uid=u-ann +system:authenticated k=v");
    assert_int_equal(ask(f, X, "system:serviceaccount:shop:agent@kube-pprof"), 200);
    assert_non_null(strstr(f->body, " in shop"));
    assert_int_equal(ask(f, X, "system:serviceaccount:../etc:agent@kube-pprof"), 200);
    assert_null(strstr(f->body, " in "));
    fixture_stop(f);
}

static void test_other_tokens_are_nobodys(void **state)
{
    (void)state;
    struct fixture *f = start();
    static const char *const tokens[] = {"made-up", "ann@other", "ann@"};
    for (size_t i = 0; i < KP_COUNT(tokens); i++) {
        assert_int_equal(ask(f, X, tokens[i]), 401);
        assert_non_null(strstr(f->body, "the bearer token is nobody's"));
        assert_null(strstr(f->body, tokens[i]));
    }
    assert_int_equal(ask(f, X, NULL), 401);
    assert_non_null(strstr(f->body, "--audience=kube-pprof"));
    assert_int_equal(kp_test_api_token_reviews(f->api), 3);
    fixture_stop(f);
}

static void test_what_cannot_be_a_token_is_not_asked_about(void **state)
{
    (void)state;
    struct fixture *f = start();
    kp_auto_free char *long_one = kp_alloc(16 * 1024 + 100);
    kp_auto_free char *bearer = NULL;
    memset(long_one, 'a', 16 * 1024 + 1);
    long_one[16 * 1024 + 1] = '\0';
    bearer = kp_asprintf("Authorization: Bearer %s", long_one);
    const char *const values[] = {"Authorization: Basic YTpi", "Authorization: Bearer",
        "Authorization: Bearer ", "Authorization: Bearer a b", "Authorization: Bearer \xc3\xa9",
        "Authorization: Bearera", "Authorization: x", bearer};
    for (size_t i = 0; i < KP_COUNT(values); i++)
        assert_int_equal(ask_with(f, X, NULL, (const char *const[]){values[i], NULL}), 401);
    assert_int_equal(
        ask_with(f, X, "ann@kube-pprof", (const char *const[]){"authorization: Bearer b", NULL}), 401);
    assert_int_equal(kp_test_api_token_reviews(f->api), 0);
    assert_int_equal(
        ask_with(f, X, NULL, (const char *const[]){"authorization: bearer  ann@kube-pprof", NULL}), 200);
    long_one[16 * 1024] = '\0';
    assert_int_equal(ask(f, X, long_one), 401); // asked about
    assert_int_equal(kp_test_api_token_reviews(f->api), 2);
    fixture_stop(f);
}

static void test_tokens_of_the_api_server_by_a_flag(void **state)
{
    (void)state;
    struct fixture *f = fixture_start((struct kp_auth_options){.api_server_tokens = true}, NULL);
    assert_int_equal(ask(f, X, "ann@"), 200);
    assert_int_equal(kp_test_api_token_reviews(f->api), 2); // as one for us, then as one of its own
    assert_int_equal(ask(f, X, "ann@kube-pprof"), 200);
    assert_int_equal(kp_test_api_token_reviews(f->api), 3);
    assert_int_equal(ask(f, X, "ann@other"), 401);
    fixture_stop(f);
}

static void test_a_token_is_known_for_a_minute_from_the_question(void **state)
{
    (void)state;
    struct fixture *f = start();
    assert_int_equal(ask(f, X, "ann@kube-pprof"), 200);
    kp_test_api_revoke(f->api, "ann@kube-pprof");
    for (int s = 1; s < 60; s++) { // however often it is used
        fixture_mono_ms += 1000;
        assert_int_equal(ask(f, X, "ann@kube-pprof"), 200);
    }
    assert_int_equal(kp_test_api_token_reviews(f->api), 1);
    fixture_mono_ms += 1000;
    assert_int_equal(ask(f, X, "ann@kube-pprof"), 401);
    assert_int_equal(kp_test_api_token_reviews(f->api), 2);
    fixture_mono_ms += 9999; // nobody's for ten seconds
    assert_int_equal(ask(f, X, "ann@kube-pprof"), 401);
    assert_int_equal(kp_test_api_token_reviews(f->api), 2);
    fixture_mono_ms += 1;
    assert_int_equal(ask(f, X, "ann@kube-pprof"), 401);
    assert_int_equal(kp_test_api_token_reviews(f->api), 3);
    fixture_stop(f);
}

static void test_tokens_kept_are_bounded(void **state)
{
    (void)state;
    struct fixture *f = fixture_start((struct kp_auth_options){.max_tokens = 8}, NULL);
    assert_int_equal(ask(f, X, "ann@kube-pprof"), 200);
    assert_int_equal(ask(f, X, "bo@kube-pprof"), 200);
    for (int i = 0; i < 50; i++) {
        kp_auto_free char *made_up = kp_asprintf("made-up-%d", i);
        assert_int_equal(ask(f, X, made_up), 401);
    }
    size_t before = kp_test_api_token_reviews(f->api);
    assert_int_equal(ask(f, X, "ann@kube-pprof"), 200); // made-up ones did not push them out
    assert_int_equal(ask(f, X, "bo@kube-pprof"), 200);
    assert_int_equal(kp_test_api_token_reviews(f->api), before);
    for (int i = 0; i < 8; i++) {
        kp_auto_free char *other = kp_asprintf("user-%d@kube-pprof", i);
        assert_int_equal(ask(f, X, other), 200);
    }
    before = kp_test_api_token_reviews(f->api);
    assert_int_equal(ask(f, X, "ann@kube-pprof"), 200); // the longest unused one went
    assert_int_equal(kp_test_api_token_reviews(f->api), before + 1);
    fixture_stop(f);
}

// ---- rights ----

static void test_may_he(void **state)
{
    (void)state;
    struct fixture *f = start();
    assert_int_equal(ask(f, READ, "ann@kube-pprof"), 200);
    kp_auto_free char *asked = kp_test_api_last_access(f->api);
    assert_non_null(
        strstr(asked, "\"user\":\"ann\",\"uid\":\"u-ann\",\"groups\":[\"system:authenticated\"],\"extra\":"
                      "{\"k\":[\"v\"]},\"resourceAttributes\":{\"verb\":\"get\",\"group\":"
                      "\"data.kube-pprof.dev\",\"version\":\"v1alpha1\",\"resource\":\"profiles\","
                      "\"namespace\":\"shop\"}"));
    assert_int_equal(ask(f, MERGE, "ann@kube-pprof"), 403);
    assert_non_null(
        strstr(f->body, "User \\\"ann\\\" cannot get resource \\\"profiles/merge\\\" in API group "
                        "\\\"data.kube-pprof.dev\\\" in the namespace \\\"shop\\\""));
    assert_int_equal(ask(f, X "?verb=list&namespace=shop", "ann@kube-pprof"), 403);
    assert_int_equal(ask(f, X "?verb=get&namespace=pay", "ann@kube-pprof"), 403);
    assert_int_equal(ask(f, X "?verb=get", "ann@kube-pprof"), 403); // in all namespaces
    assert_int_equal(ask(f, READ, "bo@kube-pprof"), 403);
    assert_int_equal(kp_test_api_access_reviews(f->api), 6);
    fixture_stop(f);
}

static void test_a_right_is_known_for_half_a_minute(void **state)
{
    (void)state;
    struct fixture *f = start();
    assert_int_equal(ask(f, READ, "ann@kube-pprof"), 200);
    assert_int_equal(ask(f, MERGE, "ann@kube-pprof"), 403);
    kp_test_api_take_back(f->api, "ann");
    kp_test_api_grant(f->api, "ann", "get", "merge", "shop");
    fixture_mono_ms += 29999;
    assert_int_equal(ask(f, READ, "ann@kube-pprof"), 200);
    assert_int_equal(ask(f, MERGE, "ann@kube-pprof"), 403);
    assert_int_equal(kp_test_api_access_reviews(f->api), 2);
    fixture_mono_ms += 1;
    assert_int_equal(ask(f, READ, "ann@kube-pprof"), 403);
    assert_int_equal(ask(f, MERGE, "ann@kube-pprof"), 200);
    assert_int_equal(kp_test_api_access_reviews(f->api), 4);
    fixture_stop(f);
}

static void test_answers_kept_are_bounded(void **state)
{
    (void)state;
    struct fixture *f = fixture_start((struct kp_auth_options){.max_answers = 4}, NULL);
    kp_test_api_grant(f->api, "ann", "get", NULL, "");
    for (int i = 0; i < 20; i++) {
        kp_auto_free char *path = kp_asprintf(X "?verb=get&namespace=n%d", i);
        assert_int_equal(ask(f, path, "ann@kube-pprof"), 200);
        assert_int_equal(ask(f, READ, "ann@kube-pprof"), 200); // in use, so it stays
    }
    assert_int_equal(kp_test_api_access_reviews(f->api), 21);
    assert_int_equal(ask(f, X "?verb=get&namespace=n0", "ann@kube-pprof"), 200);
    assert_int_equal(kp_test_api_access_reviews(f->api), 22);
    fixture_stop(f);
}

// ---- many at once ----

static void test_a_thousand_reads_cost_one_question_each(void **state)
{
    (void)state;
    struct fixture *f = start();
    for (int i = 0; i < 1000; i++)
        fixture_send(f, READ, "ann@kube-pprof", NULL);
    fixture_wait(f);
    assert_int_equal(f->status, 200);
    assert_int_equal(kp_test_api_token_reviews(f->api), 1);
    assert_int_equal(kp_test_api_access_reviews(f->api), 1);
    assert_true(fixture_metric(f, "kube_pprof_registry_reviews_total{kind=\"token\",result=\"yes\"}") == 1);
    assert_true(fixture_metric(f, "kube_pprof_registry_reviews_total{kind=\"access\",result=\"yes\"}") == 1);
    assert_true(fixture_metric(f, "kube_pprof_registry_review_cache_hits_total{kind=\"access\"}") > 500);
    assert_true(fixture_metric(f, "kube_pprof_registry_reviews_running") == 0);
    fixture_stop(f);
}

static void run_for(struct fixture *f, int ms)
{
    const bool never = false;
    kp_loop_run_until(f->loop, &never, ms);
}

static void wait_for_running(struct fixture *f, int n)
{
    for (int i = 0; fixture_metric(f, "kube_pprof_registry_reviews_running") < n; i++) {
        assert_true(i < 2000);
        run_for(f, 5);
    }
}

// From 127.0.0.HOST, which is another client; nobody reads the answer.
static int send_from(struct fixture *f, int host, const char *token)
{
    const char *colon = strrchr(f->url, ':');
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000000U + (uint32_t)host)};
    struct sockaddr_in to = {.sin_family = AF_INET,
        .sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    kp_auto_free char *text =
        kp_asprintf("GET " X " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", token);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof from), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    return fd;
}

static void test_questions_at_once_are_bounded(void **state)
{
    (void)state;
    int fds[5];
    struct fixture *f = fixture_start((struct kp_auth_options){.max_questions = 8}, NULL);
    assert_int_equal(ask(f, X, "ann@kube-pprof"), 200);
    assert_int_equal(ask(f, X, "bo@kube-pprof"), 200);
    fixture_mono_ms += 60000;
    kp_test_api_set_mode(f->api, KP_TEST_API_HANGS);
    for (int i = 0; i < 10; i++) {
        kp_auto_free char *made_up = kp_asprintf("made-up-%d", i);
        fixture_send(f, X, made_up, NULL);
    }
    int before = f->n_done;
    while (f->n_done < before + 8) // two are asked about, the others must come again
        run_for(f, 5);
    assert_int_equal(f->status, 429);
    assert_int_equal(f->retry_after_s, 1);
    assert_non_null(strstr(f->body, "about the same client"));
    assert_true(fixture_metric(f, "kube_pprof_registry_reviews_running") == 2);
    for (int i = 0; i < 5; i++) { // other addresses have room, up to six together
        kp_auto_free char *made_up = kp_asprintf("made-up-too-%d", i);
        fds[i] = send_from(f, 2 + i / 2, made_up);
        wait_for_running(f, i < 4 ? 3 + i : 6);
    }
    while (fixture_metric(f, "kube_pprof_registry_reviews_throttled_total") < 9)
        run_for(f, 5);
    assert_true(fixture_metric(f, "kube_pprof_registry_reviews_running") == 6);
    fixture_send(f, X, "ann@kube-pprof", NULL); // known before: there is room for those
    wait_for_running(f, 7);
    kp_test_api_set_mode(f->api, KP_TEST_API_WELL);
    fixture_wait(f);
    for (int i = 0; i < 5; i++)
        close(fds[i]);
    while (fixture_metric(f, "kube_pprof_registry_reviews_running") > 0)
        run_for(f, 5);
    fixture_stop(f);
}

// Who asks for one namespace after the other does not keep others from asking.
static void test_one_user_does_not_take_all_questions(void **state)
{
    (void)state;
    struct fixture *f = fixture_start((struct kp_auth_options){.max_questions = 16}, NULL);
    assert_int_equal(ask(f, X, "ann@kube-pprof"), 200);
    assert_int_equal(ask(f, X, "bo@kube-pprof"), 200);
    kp_test_api_set_mode(f->api, KP_TEST_API_HANGS);
    int before = f->n_done;
    for (int i = 0; i < 20; i++) {
        kp_auto_free char *path = kp_asprintf("/api/v1/x?verb=list&namespace=guess-%d", i);
        fixture_send(f, path, "bo@kube-pprof", NULL);
    }
    while (f->n_done < before + 16)
        run_for(f, 5);
    assert_int_equal(f->status, 429);
    assert_true(fixture_metric(f, "kube_pprof_registry_reviews_running") == 4);
    fixture_send(f, READ, "ann@kube-pprof", NULL);
    wait_for_running(f, 5);
    kp_test_api_set_mode(f->api, KP_TEST_API_WELL);
    fixture_wait(f);
    assert_true(fixture_metric(f, "kube_pprof_registry_reviews_running") == 0);
    fixture_stop(f);
}

static void test_who_leaves_is_not_answered(void **state)
{
    (void)state;
    struct fixture *f = start();
    kp_test_api_set_mode(f->api, KP_TEST_API_HANGS);
    struct kp_http_call *one = fixture_send(f, X, "ann@kube-pprof", NULL);
    fixture_send(f, X, "ann@kube-pprof", NULL);
    run_for(f, 50);
    kp_http_cancel(one);
    while (f->n_done < 1)
        run_for(f, 5);
    run_for(f, 600); // the server has noticed
    kp_test_api_set_mode(f->api, KP_TEST_API_WELL);
    fixture_wait(f);
    assert_int_equal(f->status, 200);
    assert_int_equal(kp_test_api_token_reviews(f->api), 1);
    kp_test_api_set_mode(f->api, KP_TEST_API_HANGS);
    fixture_send(f, READ, "ann@kube-pprof", NULL);
    fixture_send(f, X, "bo@kube-pprof", NULL);
    run_for(f, 50);
    fixture_stop(f); // with questions under way
}

// ---- the API server is away ----

static void test_known_answers_live_on_then_it_is_no(void **state)
{
    (void)state;
    struct fixture *f = start();
    assert_int_equal(ask(f, READ, "ann@kube-pprof"), 200);
    kp_test_api_set_mode(f->api, KP_TEST_API_FORBIDS);
    fixture_mono_ms += 29999;
    assert_int_equal(ask(f, READ, "ann@kube-pprof"), 200);
    assert_int_equal(ask(f, X, "bo@kube-pprof"), 503);
    assert_non_null(strstr(f->body, "the API server cannot be asked whose token this is"));
    assert_null(strstr(f->body, "forbidden"));
    assert_int_equal(f->retry_after_s, 1);
    fixture_mono_ms += 1;
    assert_int_equal(ask(f, READ, "ann@kube-pprof"), 503); // the token is still known, the right is not
    assert_non_null(strstr(f->body, "the API server cannot be asked who may do this"));
    assert_int_equal(ask(f, X, "ann@kube-pprof"), 200);
    fixture_mono_ms += 30000;
    assert_int_equal(ask(f, X, "ann@kube-pprof"), 503);
    assert_int_equal(f->n_troubles, 1);
    assert_string_equal(f->trouble, "reviews: reviews are forbidden");
    kp_test_api_set_mode(f->api, KP_TEST_API_WELL);
    assert_int_equal(ask(f, READ, "ann@kube-pprof"), 200); // and nothing of it was kept
    assert_int_equal(f->n_well, 1);
    assert_true(fixture_metric(f, "kube_pprof_registry_reviews_total{kind=\"token\",result=\"error\"}") == 2);
    fixture_stop(f);
}

static void test_a_connection_that_breaks_is_no_yes(void **state)
{
    (void)state;
    struct fixture *f = start();
    kp_test_api_set_mode(f->api, KP_TEST_API_CLOSES);
    for (int i = 0; i < 3; i++)
        fixture_send(f, READ, "ann@kube-pprof", NULL);
    fixture_wait(f);
    assert_int_equal(f->status, 503);
    fixture_stop(f);
}

// ---- the open tenant ----

static void test_the_open_tenant(void **state)
{
    (void)state;
    struct fixture *f = fixture_start((struct kp_auth_options){.anonymous_namespace = "legacy"}, NULL);
    static const struct {
        const char *query;
        int status;
    } rows[] = {
        {"verb=get&namespace=legacy", 200},
        {"verb=get&subresource=merge&namespace=legacy", 200},
        {"verb=list&namespace=legacy", 200},
        {"verb=create&namespace=legacy", 200},
        {"verb=create&subresource=captures&namespace=legacy", 403},
        {"verb=create&subresource=seal&namespace=legacy", 403},
        {"verb=delete&namespace=legacy", 403},
        {"verb=watch&namespace=legacy", 403},
        {"verb=get&namespace=shop", 403},
        {"verb=list", 403},
        {"verb=list&namespace=", 403},
    };
    assert_int_equal(ask(f, "/api/0/x", NULL), 200);
    assert_string_equal(f->body, "tenant: system:anonymous uid=- +system:unauthenticated in legacy");
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        kp_auto_free char *path = kp_asprintf("/api/0/x?%s", rows[i].query);
        assert_int_equal(ask(f, path, NULL), rows[i].status);
    }
    assert_int_equal(ask(f, X, NULL), 401);
    assert_int_equal(ask(f, "/apis/x", NULL), 401);
    assert_int_equal(ask_with(f, "/api/0/x", NULL, (const char *const[]){"Authorization: x", NULL}), 401);
    assert_int_equal(ask(f, "/api/0/x", "made-up"), 401); // who says who he is has to be it
    assert_int_equal(ask(f, "/api/0/x", "ann@kube-pprof"), 200);
    assert_non_null(strstr(f->body, "token: ann"));
    assert_int_equal(kp_test_api_access_reviews(f->api), 0);
    assert_true(fixture_metric(f, "kube_pprof_registry_anonymous_requests_total") == 12);
    fixture_stop(f);
}

static void test_without_the_flag_there_is_no_open_tenant(void **state)
{
    (void)state;
    struct fixture *f = start();
    assert_int_equal(ask(f, "/api/0/x", NULL), 401);
    fixture_stop(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_token_is_its_users),
        cmocka_unit_test(test_other_tokens_are_nobodys),
        cmocka_unit_test(test_what_cannot_be_a_token_is_not_asked_about),
        cmocka_unit_test(test_tokens_of_the_api_server_by_a_flag),
        cmocka_unit_test(test_a_token_is_known_for_a_minute_from_the_question),
        cmocka_unit_test(test_tokens_kept_are_bounded),
        cmocka_unit_test(test_may_he),
        cmocka_unit_test(test_a_right_is_known_for_half_a_minute),
        cmocka_unit_test(test_answers_kept_are_bounded),
        cmocka_unit_test(test_a_thousand_reads_cost_one_question_each),
        cmocka_unit_test(test_questions_at_once_are_bounded),
        cmocka_unit_test(test_one_user_does_not_take_all_questions),
        cmocka_unit_test(test_who_leaves_is_not_answered),
        cmocka_unit_test(test_known_answers_live_on_then_it_is_no),
        cmocka_unit_test(test_a_connection_that_breaks_is_no_yes),
        cmocka_unit_test(test_the_open_tenant),
        cmocka_unit_test(test_without_the_flag_there_is_no_open_tenant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
