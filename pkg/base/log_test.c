#include "base/log.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/banned.h"

static int pipe_fds[2];

static void start(enum kp_log_level level, bool json)
{
    assert_int_equal(pipe(pipe_fds), 0);
    kp_log_setup(level, json, pipe_fds[1]);
}

// All that was logged since start(), with the time of each line taken out.
static char *finish(void)
{
    static char text[60000];
    kp_log_setup(KP_LOG_INFO, false, 2);
    close(pipe_fds[1]);
    size_t n = 0;
    ssize_t got;
    while ((got = read(pipe_fds[0], text + n, sizeof text - 1 - n)) > 0)
        n += (size_t)got;
    text[n] = '\0';
    close(pipe_fds[0]);
    return text;
}

static void test_json_lines(void **state)
{
    (void)state;
    struct kp_error err = {0};
    kp_fail(&err, KP_NETWORK, "no \"route\"");
    start(KP_LOG_INFO, true);
    KP_WARN("capture \"failed\"", KP_S("pod", "a\nb"), KP_I("bytes", -5), KP_F("seconds", 0.25),
        KP_B("last", true), KP_E(&err), KP_S("none", NULL), KP_F("odd", NAN));
    KP_SAY(KP_LOG_INFO, "started");
    const char *text = finish();
    char ts[KP_TIME_TEXT] = "";
    assert_int_equal(sscanf(text, "{\"ts\":\"%31[^\"]\"", ts), 1);
    int64_t ms = 0;
    assert_int_equal(kp_time_parse(ts, &ms, NULL), 0);
    assert_non_null(
        strstr(text, "\",\"level\":\"warn\",\"msg\":\"capture "
                     "\\\"failed\\\"\",\"pod\":\"a\\nb\",\"bytes\":-5,\"seconds\":0.25,"
                     "\"last\":true,\"error\":\"no \\\"route\\\"\",\"none\":\"\",\"odd\":null}\n{\"ts\":"));
    assert_non_null(strstr(text, "\"level\":\"info\",\"msg\":\"started\"}\n"));
}

static void test_text_lines(void **state)
{
    (void)state;
    start(KP_LOG_DEBUG, false);
    KP_DEBUG("seen", KP_S("pod", "shop/web-1"), KP_S("why", "two words"), KP_S("esc", "\x1b[31m"),
        KP_S("empty", ""), KP_S("eq", "a=b"), KP_I("n", 3));
    const char *text = finish();
    assert_non_null(strstr(text,
        "Z debug seen pod=shop/web-1 why=\"two words\" esc=\"\\u001b[31m\" empty=\"\" eq=\"a=b\" n=3\n"));
}

static void test_levels(void **state)
{
    (void)state;
    start(KP_LOG_WARN, false);
    KP_DEBUG("one", KP_I("n", 1));
    KP_INFO("two", KP_I("n", 1));
    KP_SAY(KP_LOG_INFO, "three");
    KP_WARN("four", KP_I("n", 1));
    KP_ERROR("five", KP_I("n", 1));
    assert_int_equal(kp_log_level(), KP_LOG_WARN);
    const char *text = finish();
    assert_null(strstr(text, "one"));
    assert_null(strstr(text, "two"));
    assert_null(strstr(text, "three"));
    assert_non_null(strstr(text, "Z warn  four n=1\n"));
    assert_non_null(strstr(text, "Z error five n=1\n"));
    enum kp_log_level level = KP_LOG_DEBUG;
    struct kp_error err = {0};
    assert_int_equal(kp_log_level_parse("error", &level, NULL), 0);
    assert_int_equal(level, KP_LOG_ERROR);
    assert_int_equal(kp_log_level_parse("WARN", &level, &err), KP_INVALID);
    assert_string_equal(err.text, "'WARN' is not a log level; use debug, info, warn or error");
    assert_int_equal(level, KP_LOG_ERROR);
}

static void test_a_line_too_long_keeps_its_message(void **state)
{
    (void)state;
    static char large[20000];
    memset(large, 'x', sizeof large - 1);
    start(KP_LOG_INFO, true);
    KP_INFO("stored", KP_S("what", large), KP_I("n", 1));
    const char *text = finish();
    assert_null(strstr(text, "xxx"));
    assert_non_null(strstr(text, "\"level\":\"info\",\"msg\":\"stored\"}\n"));
    assert_int_equal(text[strlen(text) - 1], '\n');
}

static void *chatter(void *user)
{
    for (int i = 0; i < 100; i++)
        KP_INFO("line", KP_I("thread", *(int *)user), KP_I("i", i));
    return NULL;
}

static void test_lines_of_threads_do_not_mix(void **state)
{
    (void)state;
    pthread_t threads[3];
    int numbers[] = {1, 2, 3};
    start(KP_LOG_INFO, true);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, chatter, &numbers[i]), 0);
    for (size_t i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    char *rest = finish(), *line;
    int n = 0;
    while ((line = strsep(&rest, "\n")) != NULL && *line != '\0') {
        int thread, i, end = 0;
        const char *at = strstr(line, "\"level\":\"info\"");
        assert_non_null(at);
        assert_int_equal(
            sscanf(at, "\"level\":\"info\",\"msg\":\"line\",\"thread\":%d,\"i\":%d}%n", &thread, &i, &end),
            2);
        assert_int_equal(at[end], '\0');
        n++;
    }
    assert_int_equal(n, 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_lines),
        cmocka_unit_test(test_text_lines),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_a_line_too_long_keeps_its_message),
        cmocka_unit_test(test_lines_of_threads_do_not_mix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
