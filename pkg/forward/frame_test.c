// Frames, channels and the handshake, without a connection.
#include "forward/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/text.h"
#include "forward/frame_fixture.h"
#include "forward/handshake.h"
#include "base/banned.h"

#define PORTS "\x82\x03\x00\xac\x17\x82\x03\x01\xac\x17"

static void expect(const char *bytes, size_t len, const char *wanted)
{
    static const size_t pieces[] = {SIZE_MAX, 1, 3};
    for (size_t i = 0; i < KP_COUNT(pieces); i++) {
        kp_auto_strbuf out;
        kp_strbuf_init(&out, 1 << 20);
        fixture_frames(&out, (const uint8_t *)bytes, len, pieces[i]);
        assert_string_equal(out.data, wanted);
    }
}

static void test_reading(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *wanted;
    } rows[] = {
#define ROW(bytes, wanted) {bytes, sizeof(bytes) - 1, wanted}
        ROW(PORTS "\x82\x03\x00"
                  "ab",
            "ab"),
        ROW(PORTS "\x02\x02\x00"
                  "a\x89\x02hi\x00\x01"
                  "b\x80\x01"
                  "c",
            "a<9 hi>bc"),
        ROW(PORTS "\x02\x00\x00\x00\x80\x02\x00"
                  "a",
            "a"),
        ROW(PORTS "\x8a\x00\x88\x00\x82\x02\x00"
                  "a",
            "<10 ><close 0 >"),
        ROW(PORTS "\x88\x05\x03\xe8"
                  "bye",
            "<close 1000 bye>"),
        ROW(PORTS "\x82\x04\x01"
                  "abc",
            "?abc"),
        ROW(PORTS "\x82\x13\x01"
                  "connection refused",
            "?nothing listens there: connection refused in the pod's network namespace, on 127.0.0.1 and "
            "::1"),
        ROW("\x82\x01\x00", "!the first message of channel 0 is not a port"),
        ROW("\x82\x04\x01"
            "abc",
            "!the first message of channel 1 is not a port"),
        ROW("\x82\x03\x00\x01\x02", "!the server forwards to port 513"),
        ROW(PORTS "\x82\x02\x02"
                  "a",
            "!a message of channel 2, which is not there"),
        ROW(PORTS "\x02\x00\x80\x00", "!a message without a channel"),
        ROW(PORTS "\x02\x02\x00"
                  "a\x82\x02\x00"
                  "b",
            "a!a message inside another"),
        ROW("\x88\x03\x03\xe8\xff", "!the reason in a close frame is not UTF-8"),
        ROW("\x88\x02\x03\xec", "!a close frame has no valid code"),
        ROW("\x89\x7e\x00\x7e", "!a control frame is cut or too long"),
        ROW("\x82\x7f\x00\x00\x00\x00\x00\x00\xff\xff",
            "!the length of a frame is not written in its shortest form"),
        ROW("\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00",
            "!the length of a frame is not written in its shortest form"),
    };
    (void)state;
    for (size_t i = 0; i < KP_COUNT(rows); i++)
        expect(rows[i].bytes, rows[i].len, rows[i].wanted);
}

static void test_long_error(void **state)
{
    struct kp_channels channels = {.port = 6060};
    struct kp_error err = {0};
    const uint8_t *data = NULL;
    size_t len = 0;
    (void)state;
    assert_int_equal(
        kp_channels_take(&channels, true, true, (const uint8_t *)"\x01\xac\x17", 3, &data, &len, NULL), 0);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(
            kp_channels_take(&channels, true, true, (const uint8_t *)"\x01nonsense\n", 10, &data, &len, NULL),
            0);
    assert_int_equal(channels.error_len, KP_CHANNEL_MAX_ERROR);
    kp_channels_failure(&channels, &err);
    assert_int_equal(err.code, KP_UNAVAILABLE);
    assert_true(kp_starts_with(err.text, "...") && strlen(err.text) < 160);
    assert_null(strchr(err.text, '\n'));
}

static void test_writing(void **state)
{
    static const struct {
        size_t len;
        uint8_t head[KP_FRAME_MAX_HEAD + 1];
        size_t n;
    } rows[] = {
        {0,
            "\x82\x80"
            "mask",
            6},
        {125,
            "\x82\xfd"
            "mask",
            6},
        {126,
            "\x82\xfe\x00\x7e"
            "mask",
            8},
        {65535,
            "\x82\xfe\xff\xff"
            "mask",
            8},
        {65536,
            "\x82\xff\x00\x00\x00\x00\x00\x01\x00\x00"
            "mask",
            14},
    };
    uint8_t text[] = "Hello";
    (void)state;
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        uint8_t head[KP_FRAME_MAX_HEAD];
        assert_int_equal(kp_frame_head(KP_OP_BINARY, rows[i].len, (const uint8_t *)"mask", head), rows[i].n);
        assert_memory_equal(head, rows[i].head, rows[i].n);
    }
    kp_frame_mask(text, 5, (const uint8_t *)"\x37\xfa\x21\x3d"); // RFC 6455 5.7
    assert_memory_equal(text, "\x7f\x9f\x4d\x51\x58", 5);
}

static void test_handshake(void **state)
{
    struct kp_handshake handshake;
    (void)state;
    kp_handshake_init(&handshake, (const unsigned char *)"the sample nonce"); // RFC 6455 1.3
    assert_string_equal(handshake.key, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==");
    assert_string_equal(handshake.expected, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_int_equal(kp_handshake_check(&handshake, NULL), KP_INVALID);
    kp_handshake_header(&handshake, "upgrade", "WebSocket");
    kp_handshake_header(&handshake, "connection", "close,Upgrade");
    kp_handshake_header(&handshake, "sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_int_equal(kp_handshake_check(&handshake, NULL), KP_INVALID);
    kp_handshake_header(&handshake, "sec-websocket-protocol", "v4.channel.k8s.io");
    assert_int_equal(kp_handshake_check(&handshake, NULL), 0);
    // a second one that contradicts
    kp_handshake_header(&handshake, "sec-websocket-accept", "S3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_int_equal(kp_handshake_check(&handshake, NULL), KP_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reading),
        cmocka_unit_test(test_long_error),
        cmocka_unit_test(test_writing),
        cmocka_unit_test(test_handshake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
