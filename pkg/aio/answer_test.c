#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "aio/answer_fixture.h"
#include "base/banned.h"

static void expect(const char *answer, const char *wanted)
{
    static const size_t pieces[] = {SIZE_MAX, 1, 3};
    for (size_t i = 0; i < KP_COUNT(pieces); i++) {
        kp_auto_strbuf out;
        kp_strbuf_init(&out, 1 << 20);
        fixture_answer(&out, (const uint8_t *)answer, strlen(answer), pieces[i]);
        assert_string_equal(out.data, wanted);
    }
}

static void test_good(void **state)
{
    (void)state;
    expect("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nrest", "Upgrade: x|<101>.48");
    expect("HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nokrest", "Content-Length: 2|<200>ok.37");
    expect("HTTP/1.1 204 No\r\n\r\nrest", "<204>.19");
    expect("HTTP/1.0 403 No\r\nA:b \t\r\n\r\nto the end", "A:b|<403>to the end.36");
    expect(
        "HTTP/1.1 100 Continue\r\nA: 1\r\n\r\nHTTP/1.1 103 X\r\n\r\nHTTP/1.1 304 X\r\n\r\n", "A: 1|<304>.67");
    expect("HTTP/1.1 500 X\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nab\r\nA ;x\r\n0123456789\r\n000\r\nT: "
           "1\r\n\r\nrest",
        "Transfer-Encoding: Chunked|<500>ab!the size of a chunk is not a hexadecimal number");
    expect("HTTP/1.1 500 X\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nab\r\nA;x\r\n0123456789\r\n000\r\nT: "
           "1\r\n\r\nrest",
        "Transfer-Encoding: Chunked|<500>ab0123456789.83");
    expect("HTTP/1.1 200 X\r\nContent-Length: 1\r\nContent-Length: 01\r\n\r\na",
        "Content-Length: 1|Content-Length: 01|<200>a.58");
}

static void test_bad(void **state)
{
    static const struct {
        const char *answer, *wanted;
    } rows[] = {
        {"", "!the connection broke in the middle"},
        {"HTTP/2 200\r\n", "!this is not HTTP/1.1"},
        {"HTTP/1.1 2000\r\n", "!this is not HTTP/1.1"},
        {"HTTP/1.1 2x0 \r\n", "!the status is not a number"},
        {"HTTP/1.1 099 \r\n", "!the status is not a number of three digits"},
        {"HTTP/1.1 200 OK\n", "!there is a control character in the head"},
        {"HTTP/1.1 200 OK\rX", "!a line does not end with CR LF"},
        {"HTTP/1.1 200 OK\r\nA\r\n", "!a header is not of the form 'Name: value'"},
        {"HTTP/1.1 200 OK\r\n: a\r\n", "!a header is not of the form 'Name: value'"},
        {"HTTP/1.1 200 OK\r\nA : a\r\n", "!a header is not of the form 'Name: value'"},
        {"HTTP/1.1 200 OK\r\n A: a\r\n", "!a header is not of the form 'Name: value'"},
        {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n", "!Content-Length is not a number"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999\r\n", "!Content-Length is not a number"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n",
            "Content-Length: 1|!two lengths contradict each other"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n", "!the transfer encoding is not known"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
            "Transfer-Encoding: chunked|Content-Length: 1|!it has a length and is chunked"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
            "Content-Length: 3|<200>ab!the connection broke in the middle"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab",
            "Transfer-Encoding: chunked|<200>a!the connection broke in the middle"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
            "Transfer-Encoding: chunked|<200>a!a chunk does not end where its size says"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1000000000000000\r\n",
            "Transfer-Encoding: chunked|<200>!the size of a chunk is not a hexadecimal number"},
    };
    (void)state;
    for (size_t i = 0; i < KP_COUNT(rows); i++)
        expect(rows[i].answer, rows[i].wanted);
}

static void test_too_large(void **state)
{
    (void)state;
    kp_auto_free char *line = kp_asprintf("HTTP/1.1 200 %09000d\r\n", 1);
    expect(line, "!a line is too long");
    kp_auto_strbuf interim;
    kp_strbuf_init(&interim, 1 << 20);
    while (interim.len < 100000)
        kp_strbuf_adds(&interim, "HTTP/1.1 100 C\r\n\r\n");
    expect(interim.data, "!the head is too large");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
