// Files for profile-guided optimisation, over HTTP.
#include "api/api_fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "profile/profile.h"
#include "testkit/profile_gen.h"
#include "base/banned.h"

#define FROM "from=2025-12-31T00:00:00Z"

static struct bench_answer answer;

static struct bench *start(unsigned stacks)
{
    struct bench *b = bench_start((struct kp_api_options){0});
    struct kp_gen *gen = kp_gen_create(&(struct kp_gen_program){.seed = 7, .stacks = stacks, .labels = 5});
    for (unsigned round = 0; round < 3; round++) {
        size_t len;
        kp_auto_free uint8_t *bytes = kp_gen_bytes(gen, KP_GEN_CPU, 0, round, 6, &len);
        bench_request(
            b, "POST", "/api/v1/profiles?service=shop&type=cpu&labels=pod=a", NULL, bytes, len, &answer);
        assert_int_equal(answer.status, 201);
    }
    kp_gen_destroy(gen);
    return b;
}

static void stop(struct bench *b)
{
    bench_answer_clear(&answer);
    bench_stop(b);
}

static struct kp_profile *decoded(void)
{
    struct kp_profile *p;
    struct kp_error err = {0};
    if (kp_profile_decode(answer.body, answer.len, NULL, &p, &err) != 0)
        fail_msg("%s", err.text);
    return p;
}

static char *header(const char *name)
{
    kp_auto_free char *key = kp_asprintf("\n%s: ", name);
    const char *at = strstr(answer.headers.data, key);
    if (at == NULL)
        fail_msg("no header %s: %s", name, answer.headers.data);
    at += strlen(key);
    return kp_strndup(at, strcspn(at, "\n"));
}

static void test_only_what_the_compiler_reads_is_left(void **state)
{
    (void)state;
    struct bench *b = start(300);
    bench_get(b, "/api/v1/merge?service=shop&type=cpu", 200, &answer);
    struct kp_profile *merged = decoded();
    bench_get(b, "/api/v1/pgo?service=shop&" FROM, 200, &answer);
    struct kp_profile *p = decoded();
    assert_int_equal(
        kp_profile_total(p, p->n_sample_types - 1), kp_profile_total(merged, p->n_sample_types - 1));
    assert_true(p->n_samples <= merged->n_samples);
    assert_int_equal(p->n_mappings, 0);
    assert_int_equal(p->n_comments, 0);
    assert_int_equal(p->n_labels, 0);
    bool starts = false;
    for (uint32_t i = 0; i < p->n_functions; i++) {
        assert_int_equal(kp_profile_str(p, p->functions[i].filename).len, 0);
        starts |= p->functions[i].start_line > 0;
    }
    for (uint32_t i = 0; i < p->n_locations; i++)
        assert_int_equal(p->locations[i].address, 0);
    assert_true(starts);
    kp_profile_free(p);
    kp_profile_free(merged);
    stop(b);
}

static void test_the_same_captures_give_the_same_bytes(void **state)
{
    (void)state;
    struct bench *b = start(200);
    bench_get(b, "/api/v1/pgo?service=shop&" FROM, 200, &answer);
    kp_auto_free char *etag = header("ETag");
    size_t len = answer.len;
    kp_auto_free char *bytes = kp_memdup(answer.body, len);
    bench_get(b, "/api/v1/pgo?service=shop&" FROM, 200, &answer);
    assert_int_equal(answer.len, len);
    assert_memory_equal(answer.body, bytes, len);
    bench_request(b, "POST", "/api/v1/admin/seal", NULL, NULL, 0, &answer);
    assert_int_equal(answer.status, 200);
    assert_non_null(strstr(answer.body, "\"sealedProfiles\":3,"));
    assert_non_null(strstr(answer.body, "\"logBytes\":40,")); // the head of the next file
    bench_get(b, "/api/v1/pgo?service=shop&" FROM, 200, &answer);
    assert_int_equal(answer.len, len);
    assert_memory_equal(answer.body, bytes, len);
    kp_auto_free char *known = kp_asprintf("If-None-Match: W/\"x\", %s", etag);
    const char *const headers[] = {known, NULL};
    bench_request(b, "GET", "/api/v1/pgo?service=shop&" FROM, headers, NULL, 0, &answer);
    assert_int_equal(answer.status, 304);
    assert_int_equal(answer.len, 0);
    bench_request(b, "GET", "/api/v1/pgo?service=shop&maxBytes=10Ki&" FROM, headers, NULL, 0, &answer);
    assert_int_equal(answer.status, 200);
    stop(b);
}

static void test_the_lightest_stacks_go_first(void **state)
{
    (void)state;
    struct bench *b = start(3000);
    bench_get(b, "/api/v1/pgo?service=shop&" FROM, 200, &answer);
    size_t whole = answer.len;
    struct kp_profile *all = decoded();
    double total = (double)kp_profile_total(all, all->n_sample_types - 1);
    kp_profile_free(all);
    kp_auto_free char *path = kp_asprintf("/api/v1/pgo?service=shop&maxBytes=%zu&" FROM, whole - whole / 100);
    bench_get(b, path, 200, &answer);
    assert_true(answer.len <= whole - whole / 100);
    assert_null(strstr(answer.headers.data, "X-Larger-Than-MaxBytes"));
    struct kp_profile *most = decoded();
    double share = (double)kp_profile_total(most, most->n_sample_types - 1) / total;
    kp_profile_free(most);
    assert_true(share >= 0.99 && share < 1);
    kp_auto_free char *said = header("X-Kept-Share");
    assert_true(strtod(said, NULL) > share - 0.001 && strtod(said, NULL) < share + 0.001);
    bench_get(b, "/api/v1/pgo?service=shop&maxBytes=1Ki&" FROM, 200, &answer); // cannot be
    struct kp_profile *least = decoded();
    assert_true((double)kp_profile_total(least, least->n_sample_types - 1) >= 0.99 * total);
    kp_profile_free(least);
    assert_non_null(strstr(answer.headers.data, "X-Larger-Than-MaxBytes"));
    stop(b);
}

static void name_function(struct kp_profile *p, uint32_t function, const char *name)
{
    p->strings[p->functions[function].name] = (struct kp_str){name, (uint32_t)strlen(name)};
}

static unsigned n_called(const struct kp_profile *p, const char *name)
{
    unsigned n = 0;
    for (uint32_t i = 0; i < p->n_functions; i++)
        n += kp_profile_str_is(p, p->functions[i].name, name) ? 1 : 0;
    return n;
}

#define HARMFUL "google.golang.org/grpc/internal/transport.(*loopyWriter).processData"

static void test_what_had_better_not_be_inlined(void **state)
{
    (void)state;
    struct bench *b = bench_start((struct kp_api_options){0});
    struct kp_gen *gen = kp_gen_create(&(struct kp_gen_program){.seed = 7, .stacks = 50});
    struct kp_profile *p = kp_gen_profile(gen, KP_GEN_CPU, 0, 0);
    struct kp_strbuf bytes;
    kp_strbuf_init(&bytes, (size_t)1 << 20);
    name_function(p, 0, HARMFUL);
    name_function(p, 1, "runtime.gopark");
    name_function(p, 2, "runtime.gopark.func1"); // not the same
    kp_profile_encode(p, 6, &bytes);
    int64_t total = kp_profile_total(p, p->n_sample_types - 1);
    bench_request(b, "POST", "/api/v1/profiles?service=shop&type=cpu", NULL, bytes.data, bytes.len, &answer);
    assert_int_equal(answer.status, 201);
    kp_strbuf_finish(&bytes);
    kp_profile_free(p);
    kp_gen_destroy(gen);

    bench_get(b, "/api/v1/pgo?service=shop&" FROM, 200, &answer);
    kp_auto_free char *said = header("X-Not-Inlined");
    assert_string_equal(said, HARMFUL ", runtime.gopark");
    p = decoded();
    assert_int_equal(n_called(p, HARMFUL) + n_called(p, "runtime.gopark"), 0);
    assert_int_equal(n_called(p, "NOT TO BE INLINED: " HARMFUL), 1);
    assert_int_equal(n_called(p, "NOT TO BE INLINED: runtime.gopark"), 1);
    assert_int_equal(n_called(p, "runtime.gopark.func1"), 1);
    assert_int_equal(kp_profile_total(p, p->n_sample_types - 1), total); // their weight stays
    kp_profile_free(p);
    bench_get(b, "/api/v1/pgo?service=shop&format=json&" FROM, 200, &answer);
    assert_non_null(strstr(answer.body, "\"notInlined\":[\"" HARMFUL "\",\"runtime.gopark\"]"));

    bench_get(b, "/api/v1/pgo?service=shop&inlineAll=true&" FROM, 200, &answer);
    assert_null(strstr(answer.headers.data, "X-Not-Inlined"));
    p = decoded();
    assert_int_equal(n_called(p, HARMFUL) + n_called(p, "runtime.gopark"), 2);
    kp_profile_free(p);
    stop(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_what_the_compiler_reads_is_left),
        cmocka_unit_test(test_the_same_captures_give_the_same_bytes),
        cmocka_unit_test(test_the_lightest_stacks_go_first),
        cmocka_unit_test(test_what_had_better_not_be_inlined),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
