// The parser alone: what comes of requests, whole and cut anywhere, and its limits.
#include "http/parser.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "http/parser_fixture.h"
#include "base/banned.h"

#define H "Host: a\r\n"

static const struct {
    const char *bytes, *gives;
} rows[] = {
    {"GET /a?b=c HTTP/1.1\r\n" H "\r\n", "<GET /a ?b=c HTTP/1.1 keep host=a>(b=c)!"},
    {"\r\nGET / HTTP/1.0\r\n\r\n", "<GET / ? HTTP/1.0 host=>!"},
    {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "<GET / ? HTTP/1.0 keep host=>!"},
    {"GET / HTTP/1.1\r\n" H "Connection: x, close\r\n\r\n", "<GET / ? HTTP/1.1 host=a>!"},
    {"GET http://b/p HTTP/1.1\r\n" H "\r\n", "<GET /p ? HTTP/1.1 keep host=a>!"},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\nhiGET / HTTP/1.1\r\n" H "\r\n",
        "<POST / ? HTTP/1.1 keep host=a>hi!<GET / ? HTTP/1.1 keep host=a>!"},
    {"POST / HTTP/1.1\r\n" H
     "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n2;x=y\r\nhi\r\n1\r\n!\r\n0\r\nT: 1\r\n\r\n",
        "<POST / ? HTTP/1.1 keep chunked continue host=a>hi!!"},
    {"GET /?a=%41%20+b&c&=d&e=%zz&f=%00&g=1=2 HTTP/1.1\r\n" H "\r\n",
        "<GET / ?a=%41%20+b&c&=d&e=%zz&f=%00&g=1=2 HTTP/1.1 keep host=a>(a=A  b)(c=)(=d)(g=1=2)!"},
    // what could be read in two ways
    {"GET / HTTP/1.1\r\n\r\n", "#400"},
    {"GET / HTTP/1.1\r\n" H H "\r\n", "#400"},
    {"GET / HTTP/1.1\n" H "\r\n", "#400"},
    {"GET / HTTP/1.1\r\n" H " folded\r\n\r\n", "#400"},
    {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", "#400"},
    {"GET  / HTTP/1.1\r\n" H "\r\n", "#400"},
    {"GET / HTTP/2.0\r\n" H "\r\n", "#505"},
    {"GET /\x7f HTTP/1.1\r\n" H "\r\n", "#400"},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nContent-Length: 1\r\n\r\nx", "#400"},
    {"POST / HTTP/1.1\r\n" H "Content-Length: +1\r\n\r\nx", "#400"},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 9999999999999999999\r\n\r\n", "#413"},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "#400"},
    {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n", "#501"},
    {"POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n", "#400"},
    {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n2\r\nhix",
        "<POST / ? HTTP/1.1 keep chunked host=a>hi#400"},
    {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0x2\r\n",
        "<POST / ? HTTP/1.1 keep chunked host=a>#400"},
    {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        "<POST / ? HTTP/1.1 keep chunked host=a>#413"},
};

static void test_requests_cut_anywhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < KP_COUNT(rows); i++)
        for (size_t piece = 1; piece <= strlen(rows[i].bytes); piece++) {
            kp_auto_strbuf out;
            kp_strbuf_init(&out, 1 << 20);
            fixture_parse(&out, (const uint8_t *)rows[i].bytes, strlen(rows[i].bytes), piece);
            if (out.len != strlen(rows[i].gives) || memcmp(out.data, rows[i].gives, out.len) != 0)
                fail_msg("row %zu in pieces of %zu: %.*s", i, piece, (int)out.len, out.data);
        }
}

// before, then a filler so many times, then after
static void expect(const char *before, const char *filler, size_t n, const char *after, const char *gives)
{
    kp_auto_strbuf in, out;
    kp_strbuf_init(&in, 1 << 20);
    kp_strbuf_init(&out, 1 << 20);
    kp_strbuf_adds(&in, before);
    for (size_t i = 0; i < n; i++)
        kp_strbuf_adds(&in, filler);
    kp_strbuf_adds(&in, after);
    fixture_parse(&out, (const uint8_t *)in.data, in.len, 1000);
    size_t len = strlen(gives);
    if (out.len < len || memcmp(out.data + out.len - len, gives, len) != 0)
        fail_msg("%s%s x %zu: %.*s", before, filler, n, (int)out.len, out.data);
}

static void test_limits(void **state)
{
    (void)state;
    expect("GET /", "x", KP_HTTP_MAX_LINE - 100, " HTTP/1.1\r\n" H "\r\n", "!");
    expect("GET /", "x", KP_HTTP_MAX_LINE, " HTTP/1.1\r\n" H "\r\n", "#414");
    expect("GET / HTTP/1.1\r\n" H, "a: b\r\n", KP_HTTP_MAX_FIELDS - 1, "\r\n", "!");
    expect("GET / HTTP/1.1\r\n" H, "a: b\r\n", KP_HTTP_MAX_FIELDS, "\r\n", "#431");
    expect("GET / HTTP/1.1\r\n" H "a: ", "x", KP_HTTP_MAX_HEAD, "\r\n\r\n", "#431");
    expect("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n1;", "x", KP_HTTP_MAX_EXT + 1, "\r\n",
        "#400");
    expect("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\nT: ", "x", KP_HTTP_MAX_TRAILERS,
        "\r\n\r\n", "#431");
    expect("GET /?", "a=b&", KP_HTTP_MAX_ARGS + 50, " HTTP/1.1\r\n" H "\r\n", "(a=b)!");
}

static void test_lists(void **state)
{
    (void)state;
    assert_true(kp_http_list_has("br, GZIP;q=0.5", "gzip"));
    assert_true(kp_http_list_has(" gzip ", "gzip"));
    assert_false(kp_http_list_has("gzip;q=0", "gzip"));
    assert_false(kp_http_list_has("gzip; q=0.000", "gzip"));
    assert_false(kp_http_list_has("xgzip, gzipx", "gzip"));
    assert_false(kp_http_list_has("", "gzip"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_cut_anywhere),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
