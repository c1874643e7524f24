#include "kube/reviews.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/log.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "kube/api_peer.h"

#include "base/banned.h"

#define TOKENS "POST /apis/authentication.k8s.io/v1/tokenreviews HTTP/1.1\r\n"
#define RIGHTS "POST /apis/authorization.k8s.io/v1/subjectaccessreviews HTTP/1.1\r\n"
#define TOKEN(status)                                                                                        \
    {                                                                                                        \
        TOKENS, 201, NULL, "{\"kind\":\"TokenReview\",\"status\":" status "}", 0, 0, PEER_WHOLE              \
    }
#define RIGHT(status)                                                                                        \
    {                                                                                                        \
        RIGHTS, 201, NULL, "{\"kind\":\"SubjectAccessReview\",\"status\":" status "}", 0, 0, PEER_WHOLE      \
    }
#define BODY(status, body)                                                                                   \
    {                                                                                                        \
        NULL, status, NULL, body, 0, 0, PEER_WHOLE                                                           \
    }
#define GOOD                                                                                                 \
    "{\"authenticated\":true,\"audiences\":[\"kube-pprof\"],\"user\":{\"username\":\"ann\",\"groups\":["     \
    "\"dev\",\"qa team\"],\"uid\":\"u1\",\"extra\":{\"k\":[\"v\",\"w\"],\"l\":[\"x\"]}}}"

struct fixture {
    struct peer *peer;
    struct kp_loop *loop;
    struct kp_kube *kube;
    bool done, has_user, allowed;
    int answers;
    char who[512], why[200];
    struct kp_error err;
};

static void begin(struct fixture *f, const struct peer_step *steps, size_t n)
{
    memset(f, 0, sizeof *f);
    f->peer = peer_start(steps, n);
    kp_auto_free char *server = kp_asprintf("http://127.0.0.1:%d", f->peer->port);
    f->loop = kp_loop_create();
    f->kube = kp_kube_create(f->loop, &(struct kp_kube_config){.server = server},
        &(struct kp_kube_options){.writes_per_second = 1000});
}

static void end(struct fixture *f)
{
    kp_kube_destroy(f->kube);
    kp_loop_destroy(f->loop);
    kp_auto_free char *failure = peer_stop(f->peer);
    if (failure)
        fail_msg("%s", failure);
}

static void take_error(struct fixture *f, const struct kp_error *err)
{
    f->err = err ? *err : (struct kp_error){0};
    f->answers++;
    f->done = true;
}

static void on_token(
    void *user, const struct kp_review_user *who, const char *not_why, const struct kp_error *err)
{
    struct fixture *f = user;
    kp_auto_strbuf out;
    kp_strbuf_init(&out, sizeof f->who);
    f->has_user = who != NULL;
    if (who)
        kp_strbuf_addf(&out, "%s/%s", who->name, who->uid ? who->uid : "-");
    for (size_t i = 0; who && i < who->n_groups; i++)
        kp_strbuf_addf(&out, " %s", who->groups[i]);
    for (size_t i = 0; who && i < who->n_extra; i++)
        kp_strbuf_addf(&out, " %s=%s", who->extra[i].key, who->extra[i].value);
    kp_copy(f->who, sizeof f->who, out.data);
    kp_copy(f->why, sizeof f->why, not_why ? not_why : "");
    assert_int_equal((who != NULL) + (not_why != NULL) + (err != NULL), 1);
    take_error(f, err);
}

static void on_access(void *user, bool allowed, const struct kp_error *err)
{
    struct fixture *f = user;
    f->allowed = allowed;
    assert_false(allowed && err);
    take_error(f, err);
}

static void wait(struct fixture *f)
{
    assert_false(f->done); // never from inside the start
    assert_true(kp_loop_run_until(f->loop, &f->done, 20000));
    f->done = false;
}

static const char *const ours[] = {"kube-pprof", "two"};

static void review(struct fixture *f, const char *token, size_t n_audiences)
{
    kp_review_token(f->kube, token, ours, n_audiences, on_token, f);
    wait(f);
}

static void may(struct fixture *f, const struct kp_review_user *who, const struct kp_review_access *access)
{
    kp_review_may(f->kube, who, access, on_access, f);
    wait(f);
}

static const char *body_of(const struct fixture *f, size_t i)
{
    return strstr(f->peer->seen[i], "\r\n\r\n") + 4;
}

static const struct kp_review_user ann = {.name = "ann"};
static const struct kp_review_access read_shop = {.verb = "get", .resource = "profiles", .namespace = "shop"};

// ---- tokens ----

static void test_a_token_and_its_user(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {TOKEN(GOOD), TOKEN("{\"authenticated\":true,\"user\":{"
                                                                "\"username\":\"bo\",\"uid\":\"\"}}")};
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps));
    review(&f, "abc\"d", 2);
    assert_string_equal(f.who, "ann/u1 dev qa team k=v k=w l=x");
    assert_string_equal(body_of(&f, 0), "{\"apiVersion\":\"authentication.k8s.io/"
                                        "v1\",\"kind\":\"TokenReview\",\"spec\":{\"token\":\"abc\\\"d\","
                                        "\"audiences\":[\"kube-pprof\",\"two\"]}}");
    review(&f, "abc", 0);
    assert_string_equal(f.who, "bo/-");
    assert_string_equal(body_of(&f, 1),
        "{\"apiVersion\":\"authentication.k8s.io/v1\",\"kind\":\"TokenReview\","
        "\"spec\":{\"token\":\"abc\"}}");
    end(&f);
}

static void test_nobodys_token(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {TOKEN("{}"), TOKEN("{\"authenticated\":false}"),
        TOKEN("{\"error\":\"[invalid bearer token,\\nmore]\"}"),
        // from an API server that knows no audiences, and for another audience
        TOKEN("{\"authenticated\":true,\"user\":{\"username\":\"ann\"}}"),
        TOKEN("{\"authenticated\":true,\"audiences\":[\"other\",1],\"user\":{\"username\":\"ann\"}}")};
    static const char *const why[] = {"the API server does not know it", "the API server does not know it",
        "[invalid bearer token, more]", "it is for another audience", "it is for another audience"};
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps));
    for (size_t i = 0; i < KP_COUNT(steps); i++) {
        review(&f, "abc", 1);
        assert_false(f.has_user);
        assert_int_equal(f.err.code, 0);
        assert_string_equal(f.why, why[i]);
    }
    end(&f);
}

static void test_answers_that_make_no_sense_are_no_answers(void **state)
{
    (void)state;
#define USER(user) TOKEN("{\"authenticated\":true,\"audiences\":[\"kube-pprof\"],\"user\":" user "}")
    static const struct peer_step steps[] = {BODY(200, ""), BODY(200, "nonsense"), BODY(200, "[]"),
        BODY(200, "{\"kind\":\"TokenReview\"}"), BODY(200, "{\"kind\":\"Pod\",\"status\":{}}"),
        TOKEN("{\"authenticated\":\"true\"}"), TOKEN("{\"authenticated\":1}"), USER("null"), USER("[]"),
        USER("{\"username\":\"\"}"), USER("{\"username\":7}"),
        USER("{\"username\":\"a\",\"groups\":\"system:masters\"}"),
        USER("{\"username\":\"a\",\"groups\":[\"x\",null]}"), USER("{\"username\":\"a\",\"extra\":[]}"),
        USER("{\"username\":\"a\",\"extra\":{\"k\":\"v\"}}"),
        USER("{\"username\":\"a\",\"extra\":{\"k\":[1]}}"), USER("{\"username\":\"a\\u0000b\"}")};
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps));
    for (size_t i = 0; i < KP_COUNT(steps); i++) {
        review(&f, "abc", 1);
        assert_false(f.has_user);
        assert_string_equal(f.why, "");
        assert_int_equal(f.err.code, KP_UNAVAILABLE);
    }
    end(&f);
}

// ---- rights ----

static void test_may_he(void **state)
{
    (void)state;
    static const char *const groups[] = {"dev", "system:authenticated"};
    static const struct kp_review_extra extra[] = {{"k", "v"}, {"l", "x"}, {"k", "w"}};
    static const struct kp_review_user bo = {
        .name = "b\xc3\xb6", .uid = "7", .groups = groups, .n_groups = 2, .extra = extra, .n_extra = 3};
    static const struct kp_review_access all = {.verb = "get",
        .group = "data.kube-pprof.dev",
        .version = "v1alpha1",
        .resource = "profiles",
        .subresource = "merge",
        .namespace = "shop",
        .name = "-"};
    static const struct peer_step steps[] = {RIGHT("{\"allowed\":true}"), RIGHT("{\"allowed\":false}"),
        RIGHT("{\"allowed\":true,\"denied\":true}"), RIGHT("{\"allowed\":false,\"evaluationError\":\"x\"}")};
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps));
    may(&f, &bo, &all);
    assert_true(f.allowed);
    assert_string_equal(body_of(&f, 0),
        "{\"apiVersion\":\"authorization.k8s.io/"
        "v1\",\"kind\":\"SubjectAccessReview\",\"spec\":{\"user\":\"b\xc3"
        "\xb6\",\"uid\":\"7\",\"groups\":[\"dev\",\"system:authenticated\"],\"extra\":{\"k\":[\"v\",\"w\"],"
        "\"l\":["
        "\"x\"]},\"resourceAttributes\":{\"verb\":\"get\",\"group\":\"data.kube-pprof.dev\",\"version\":"
        "\"v1alpha1\",\"resource\":\"profiles\",\"subresource\":\"merge\",\"namespace\":\"shop\",\"name\":\"-"
        "\"}}"
        "}");
    for (size_t i = 1; i < KP_COUNT(steps); i++) {
        may(&f, &ann, &read_shop);
        assert_false(f.allowed);
        assert_int_equal(f.err.code, 0);
    }
    assert_string_equal(body_of(&f, 1),
        "{\"apiVersion\":\"authorization.k8s.io/"
        "v1\",\"kind\":\"SubjectAccessReview\",\"spec\":{\"user\":\"ann\","
        "\"groups\":[],\"extra\":{},\"resourceAttributes\":{\"verb\":\"get\",\"resource\":\"profiles\","
        "\"namespace\":\"shop\"}}}");
    end(&f);
}

static void test_only_true_is_yes(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {RIGHT("{}"), RIGHT("{\"allowed\":\"true\"}"), RIGHT("null"),
        RIGHT("{\"allowed\":1}"), BODY(200, ""), BODY(200, "true"),
        BODY(200, "{\"kind\":\"TokenReview\",\"status\":{\"allowed\":true}}")};
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps));
    for (size_t i = 0; i < KP_COUNT(steps); i++) {
        may(&f, &ann, &read_shop);
        assert_false(f.allowed);
        assert_int_equal(f.err.code, KP_UNAVAILABLE);
    }
    end(&f);
}

static void test_a_name_that_is_no_text_is_not_asked_about(void **state)
{
    (void)state;
    static const struct kp_review_user odd = {.name = "a\xff"};
    static const char *const groups[] = {"\xc3"};
    static const char *const odd_audience = "kube\xff";
    static const struct kp_review_user odd_group = {.name = "a", .groups = groups, .n_groups = 1};
    struct fixture f;
    begin(&f, NULL, 0);
    may(&f, &odd, &read_shop);
    assert_int_equal(f.err.code, KP_INVALID);
    may(&f, &odd_group, &read_shop);
    assert_int_equal(f.err.code, KP_INVALID);
    review(&f, "a\xff", 1);
    assert_int_equal(f.err.code, KP_INVALID);
    kp_review_token(f.kube, "a", &odd_audience, 1, on_token, &f);
    wait(&f);
    assert_int_equal(f.err.code, KP_INVALID);
    assert_int_equal(peer_seen(f.peer), 0);
    end(&f);
}

// ---- trouble ----

#define STATUS(code, reason)                                                                                 \
    BODY(code, "{\"kind\":\"Status\",\"message\":\"because\",\"reason\":\"" reason "\",\"code\":" #code "}")

static void test_the_api_servers_errors(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {STATUS(403, "Forbidden"), STATUS(401, "Unauthorized"),
        STATUS(500, "InternalError"), STATUS(500, "InternalError"), STATUS(404, "NotFound")};
    static const int codes[] = {KP_DENIED, KP_UNAUTHENTICATED, KP_UNAVAILABLE, KP_NOT_FOUND};
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps));
    for (size_t i = 0; i < KP_COUNT(codes); i++) {
        review(&f, "abc", 1);
        assert_int_equal(f.err.code, codes[i]);
        assert_false(f.has_user);
    }
    assert_int_equal(peer_seen(f.peer), KP_COUNT(steps)); // what may pass was tried twice
    end(&f);
}

static void test_a_broken_connection_is_tried_again(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {TOKENS, 201, NULL, "{\"kind\"", 0, 0, PEER_CUT}, TOKEN(GOOD), RIGHT("{\"allowed\":true}")};
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps));
    review(&f, "abc", 1);
    assert_true(f.has_user);
    may(&f, &ann, &read_shop);
    assert_true(f.allowed);
    end(&f);
}

static void test_nobody_there(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, NULL, 0);
    kp_auto_free char *failure = peer_stop(f.peer);
    assert_null(failure);
    review(&f, "abc", 1);
    assert_int_equal(f.err.code, KP_NETWORK);
    may(&f, &ann, &read_shop);
    assert_int_equal(f.err.code, KP_NETWORK);
    f.peer = peer_start(NULL, 0);
    end(&f);
}

static void test_forgotten_questions_are_not_answered(void **state)
{
    (void)state;
    struct fixture f;
    const bool never = false;
    begin(&f, NULL, 0); // never answers
    struct kp_review *one = kp_review_token(f.kube, "abc", ours, 1, on_token, &f);
    struct kp_review *two = kp_review_may(f.kube, &ann, &read_shop, on_access, &f);
    struct kp_review *odd = kp_review_token(f.kube, "\xff", ours, 1, on_token, &f);
    kp_review_forget(odd);
    while (peer_seen(f.peer) < 2)
        kp_loop_run_until(f.loop, &never, 10);
    kp_review_forget(one);
    kp_review_forget(two);
    kp_review_forget(NULL);
    kp_loop_run_until(f.loop, &never, 20);
    kp_review_token(f.kube, "abc", ours, 1, on_token, &f); // ends with the client
    assert_int_equal(f.answers, 0);
    kp_kube_destroy(f.kube);
    assert_int_equal(f.err.code, KP_CANCELED);
    f.kube = NULL;
    end(&f);
}

static void test_no_token_in_the_log(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {TOKEN("{\"error\":\"nobody\"}"), STATUS(403, "Forbidden"),
        {TOKENS, 201, NULL, "{\"kind\"", 0, 0, PEER_CUT}, BODY(200, "?")};
    struct fixture f;
    char log[16384];
    FILE *file = tmpfile();
    kp_log_setup(KP_LOG_DEBUG, true, fileno(file));
    begin(&f, steps, KP_COUNT(steps));
    for (int i = 0; i < 3; i++) {
        review(&f, "sEcReT.tOkEn", 1);
        assert_null(strstr(f.err.text, "sEcReT"));
    }
    end(&f);
    kp_log_setup(KP_LOG_INFO, true, 2);
    rewind(file);
    log[fread(log, 1, sizeof log - 1, file)] = '\0';
    fclose(file);
    assert_non_null(strstr(log, "tokenreviews"));
    assert_null(strstr(log, "sEcReT"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_token_and_its_user),
        cmocka_unit_test(test_nobodys_token),
        cmocka_unit_test(test_answers_that_make_no_sense_are_no_answers),
        cmocka_unit_test(test_may_he),
        cmocka_unit_test(test_only_true_is_yes),
        cmocka_unit_test(test_a_name_that_is_no_text_is_not_asked_about),
        cmocka_unit_test(test_the_api_servers_errors),
        cmocka_unit_test(test_a_broken_connection_is_tried_again),
        cmocka_unit_test(test_nobody_there),
        cmocka_unit_test(test_forgotten_questions_are_not_answered),
        cmocka_unit_test(test_no_token_in_the_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
