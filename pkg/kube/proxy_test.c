#include "kube/proxy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/text.h"

#include "base/banned.h"

// Rows of golang.org/x/net/http/httpproxy's own tests, and some more.
static const struct {
    const char *no_proxy, *host;
    int port;
    bool out;
} rows[] = {
    {"", "localhost", 80, true}, {"", "127.0.0.1", 80, true}, {"", "127.2.3.4", 80, true},
    {"", "::1", 80, true}, {"", "10.0.0.1", 80, false}, {NULL, "example.com", 80, false},
    {"*", "example.com", 80, true}, {"example.com", "example.com", 80, true},
    {"example.com", "EXAMPLE.com", 80, true}, {"example.com", "www.example.com", 80, true},
    {"example.com", "notexample.com", 80, false}, {"example.com", "example.com.evil", 80, false},
    {".example.com", "example.com", 80, false}, {".example.com", "www.example.com", 80, true},
    {"*.example.com", "www.example.com", 80, true}, {"*.example.com", "example.com", 80, false},
    {" foo.com , bar.com:8080 ,", "bar.com", 8080, true}, {"foo.com,bar.com:8080", "bar.com", 80, false},
    {"foo.com,bar.com:8080", "a.foo.com", 1, true}, {"192.168.1.1", "192.168.1.1", 80, true},
    {"192.168.1.1", "192.168.1.2", 80, false}, {"192.168.1.1:443", "192.168.1.1", 443, true},
    {"192.168.1.1:443", "192.168.1.1", 80, false}, {"10.0.0.0/8", "10.255.0.1", 80, true},
    {"10.0.0.0/8", "11.0.0.1", 80, false}, {"192.168.1.4/30", "192.168.1.7", 80, true},
    {"192.168.1.4/30", "192.168.1.8", 80, false}, {"0.0.0.0/0", "8.8.8.8", 80, true},
    {"0.0.0.0/0", "fd00::1", 80, false}, {"1.2.3.4/32", "1.2.3.4", 80, true},
    {"fd00::/8", "fd12::9", 80, true}, {"fd00::/8", "fe80::9", 80, false},
    {"fd00::1/128", "fd00::1", 80, true}, {"fd00::1", "fd00::1", 80, true},
    {"[fd00::1]:80", "fd00::1", 80, true}, {"[fd00::1]:81", "fd00::1", 80, false},
    {"10.0.0.0/33,10.0.0.0/x,/8,:80,[,[]:1,*.", "10.0.0.1", 80, false},
    {"10", "10.0.0.10", 80, true}, // a name for Go, with what ends in ".10"
};

static void test_left_out(void **state)
{
    (void)state;
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        if (kp_proxy_left_out(rows[i].no_proxy, rows[i].host, rows[i].port) != rows[i].out)
            fail_msg("NO_PROXY '%s', host '%s', port %d", rows[i].no_proxy, rows[i].host, rows[i].port);
    }
}

static const char *env(const char *name)
{
    static const char *const values[][2] = {{"HTTPS_PROXY", "http://secure:1"}, {"http_proxy", "plain:2"},
        {"NO_PROXY", "10.0.0.0/8,[fd00::1]:6443"}, {"ALL_PROXY", "http://all:3"}};
    for (size_t i = 0; i < KP_COUNT(values); i++) {
        if (strcmp(values[i][0], name) == 0)
            return values[i][1];
    }
    return NULL;
}

static const char *nothing(const char *name)
{
    (void)name;
    return NULL;
}

static void test_environment(void **state)
{
    static const char *const urls[][2] = {{"https://api:6443", "http://secure:1"},
        {"http://api/base", "http://plain:2"}, {"https://10.1.2.3:6443", NULL},
        {"https://[fd00::1]:6443/x", NULL}, {"https://[fd00::1]", "http://secure:1"},
        {"http://localhost:8080", NULL}, {"unix:/run/x.sock", NULL}};
    (void)state;
    for (size_t i = 0; i < KP_COUNT(urls); i++) {
        kp_auto_free char *proxy = kp_proxy_of_environment(urls[i][0], env);
        if (!kp_streq(proxy, urls[i][1]))
            fail_msg("%s: '%s'", urls[i][0], proxy ? proxy : "none");
        assert_null(kp_proxy_of_environment(urls[i][0], nothing));
        assert_null(kp_proxy_of_environment(urls[i][0], NULL));
    }
}

static void test_check(void **state)
{
    (void)state;
    assert_int_equal(kp_proxy_check("http://a:1", NULL), KP_OK);
    assert_int_equal(kp_proxy_check("https://a", NULL), KP_OK);
    assert_int_equal(kp_proxy_check("socks5://u:p@a:1080", NULL), KP_OK);
    assert_int_equal(kp_proxy_check("ftp://a", NULL), KP_INVALID);
    assert_int_equal(kp_proxy_check("http://", NULL), KP_INVALID);
    assert_int_equal(kp_proxy_check("a:8080", NULL), KP_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_left_out),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
