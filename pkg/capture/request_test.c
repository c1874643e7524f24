// What is sent, and to which addresses never.
#include "capture/request.h"

#include "capture/address.h"
#include "capture/answer.h"
#include "capture/capture_fixture.h"
#include "capture/describe.h"
#include "base/banned.h"

static struct bench *start(void)
{
    struct bench *bench = KP_NEW(struct bench);
    fixture_fill(bench);
    bench->target.port = 6060;
    return bench;
}

static void end(struct bench *bench)
{
    kp_labels_destroy(bench->labels);
    kp_free(bench);
}

static struct kp_order order_of(struct bench *bench, int64_t duration_ms)
{
    return (struct kp_order){.target = &bench->target, .wanted = &bench->wanted, .duration_ms = duration_ms};
}

static void urls_are_made_of_the_pods_address(void **state)
{
    static const struct {
        const char *ip, *path;
        bool https, opaque;
        int64_t duration_ms;
        const char *url, *where;
    } rows[] = {
        {"10.1.2.3", "/debug/pprof/heap", false, false, 0, "http://10.1.2.3:6060/debug/pprof/heap",
            "10.1.2.3:6060/debug/pprof/heap"},
        {"fd00::7", "/debug/pprof/profile", true, false, 10000,
            "https://[fd00::7]:6060/debug/pprof/profile?seconds=10", "[fd00::7]:6060/debug/pprof/profile"},
        {"10.1.2.3", "/p", false, false, 1001, "http://10.1.2.3:6060/p?seconds=2", "10.1.2.3:6060/p"},
        {"10.1.2.3", "/p", false, true, 1500, "http://10.1.2.3:6060/p?seconds=1.500", "10.1.2.3:6060/p"},
    };
    struct bench *bench = start();
    (void)state;
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        struct kp_order order = order_of(bench, rows[i].duration_ms);
        struct kp_scrape_request request;
        bench->pod.ip = rows[i].ip;
        bench->wanted.path = rows[i].path;
        bench->wanted.opaque = rows[i].opaque;
        bench->target.https = rows[i].https;
        kp_scrape_request_make(&order, NULL, &request);
        assert_string_equal(request.url, rows[i].url);
        assert_string_equal(request.where, rows[i].where);
        kp_scrape_request_finish(&request);
    }
    end(bench);
}

static bool has_header(const struct kp_scrape_request *request, const char *line)
{
    for (size_t i = 0; request->headers[i] != NULL; i++)
        if (kp_streq(request->headers[i], line))
            return true;
    return false;
}

static void headers_and_tls_follow_the_endpoint(void **state)
{
    static const struct kp_label own[] = {{"X-Scope", "shop"}, {"X-More", ""}};
    struct bench *bench = start();
    struct kp_scrape_request request;
    struct kp_order order = order_of(bench, 0);
    (void)state;
    bench->endpoint =
        (struct kp_endpoint){.headers = own, .n_headers = 2, .tls_server_name = "checkout.shop"};
    bench->wanted.endpoint = &bench->endpoint;
    bench->target.https = true;
    struct kp_capture_secrets secrets = {.bearer = "abc", .ca_pem = "CA"};
    kp_scrape_request_make(&order, &secrets, &request);
    assert_true(has_header(&request, "Authorization: Bearer abc"));
    assert_true(has_header(&request, "X-Scope: shop"));
    assert_true(has_header(&request, "X-More: "));
    assert_string_equal(request.tls.server_name, "checkout.shop");
    assert_string_equal(request.tls.ca_pem, "CA");
    assert_false(request.tls.insecure);
    kp_scrape_request_finish(&request);
    static const struct {
        const char *username, *password, *header;
    } basic[] = {
        {"Aladdin", "open sesame", "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="},
        {"a", "bc", "Authorization: Basic YTpiYw=="},
        {"a", "b", "Authorization: Basic YTpi"},
        {"a", NULL, "Authorization: Basic YTo="},
    };
    for (size_t i = 0; i < KP_COUNT(basic); i++) {
        secrets = (struct kp_capture_secrets){.username = basic[i].username, .password = basic[i].password};
        kp_scrape_request_make(&order, &secrets, &request);
        assert_true(has_header(&request, basic[i].header));
        kp_scrape_request_finish(&request);
    }
    end(bench);
}

static void networks_hold_what_lies_in_them(void **state)
{
    static const char *const cidrs[] = {"10.96.0.0/12", "fd00:1::/33", "192.0.2.7", NULL};
    static const struct {
        const char *ip;
        int code;
    } rows[] = {{"10.95.255.255", 0}, {"10.96.0.0", KP_DENIED}, {"10.111.255.255", KP_DENIED},
        {"10.112.0.0", 0}, {"::ffff:10.100.0.1", KP_DENIED}, {"fd00:1:7fff::1", KP_DENIED},
        {"fd00:1:8000::1", 0}, {"192.0.2.7", KP_DENIED}, {"192.0.2.8", 0}, {"febf::1", KP_DENIED},
        {"fec0::1", 0}, {"::2", KP_DENIED}, {"168.254.0.1", 0}, {"10.1.2.3.4", KP_INVALID},
        {"10.1.2.3:80", KP_INVALID}};
    struct kp_denylist *list = NULL;
    (void)state;
    assert_int_equal(kp_denylist_create(cidrs, &list, NULL), 0);
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        struct kp_error err = {0};
        if (kp_denylist_check_text(list, rows[i].ip, false, &err) != rows[i].code)
            fail_msg("%s: %s", rows[i].ip, err.text);
        if (rows[i].code == KP_DENIED)
            assert_non_null(strstr(err.text, "never scraped"));
    }
    kp_denylist_destroy(list);
}

static void networks_that_are_none_are_told(void **state)
{
    static const char *const bad[] = {"10.96.0.0/33", "fd00::/129", "10.96.0.0/", "10.96/12", "kubernetes",
        "", "10.96.0.0/-1", "1111111111111111111111111111111111111111111111111111111111111111111/8"};
    (void)state;
    for (size_t i = 0; i < KP_COUNT(bad); i++) {
        const char *const cidrs[] = {bad[i], NULL};
        struct kp_denylist *list = NULL;
        struct kp_error err = {0};
        assert_int_equal(kp_denylist_create(cidrs, &list, &err), KP_INVALID);
        assert_non_null(strstr(err.text, "is not a network"));
    }
}

static void first_bytes_tell_pprof(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        bool is;
    } rows[] = {{"\x1f\x8b", 2, true}, {"\x1f", 1, false}, {"", 0, false}, {"\x0a\x04\x08\x01", 4, true},
        {"\n<html>", 7, false}, {"<!DOCTYPE", 9, false}, {"{\"a\"", 4, false}, {"goroutine", 9, false},
        {"  text", 6, false}, {"\x12\x08\x08\x01", 4, true},
        {"\x7f"
         "ELF",
            4, false},
        {"PK\x03\x04", 4, false}};
    (void)state;
    for (size_t i = 0; i < KP_COUNT(rows); i++)
        if (kp_looks_like_pprof((const uint8_t *)rows[i].bytes, rows[i].len) != rows[i].is)
            fail_msg("row %zu", i);
}

static void a_record_needs_no_more_than_there_is(void **state)
{
    struct bench *bench = start();
    struct kp_record record;
    struct kp_order order = order_of(bench, 0);
    (void)state;
    bench->container.image_id = "";
    bench->container.container_id = "";
    bench->pod.revision = bench->pod.version = bench->pod.node = "";
    bench->wanted.n_policies = 0;
    bench->wanted.opaque = true;
    kp_capture_describe(&order, 1, 2, &record);
    assert_null(record.image_digest);
    assert_null(record.revision);
    assert_string_equal(record.format, "trace");
    assert_int_equal(record.start_ms, 1);
    assert_int_equal(record.end_ms, 2);
    kp_record_finish(&record);
    end(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_are_made_of_the_pods_address),
        cmocka_unit_test(headers_and_tls_follow_the_endpoint),
        cmocka_unit_test(networks_hold_what_lies_in_them),
        cmocka_unit_test(networks_that_are_none_are_told),
        cmocka_unit_test(first_bytes_tell_pprof),
        cmocka_unit_test(a_record_needs_no_more_than_there_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
