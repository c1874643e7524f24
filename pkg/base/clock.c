#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/duration.h"
#include "base/text.h"
#include "base/banned.h"

static int64_t read_us(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t kp_now_ms(void)
{
    return read_us(CLOCK_REALTIME) / 1000;
}

int64_t kp_mono_ms(void)
{
    return read_us(CLOCK_MONOTONIC) / 1000;
}

int64_t kp_mono_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

int64_t kp_boot_ms(void)
{
    return read_us(CLOCK_BOOTTIME) / 1000;
}

// Floor division: times before 1970 are fine too.
static void split(int64_t ms, time_t *ret_s, int *ret_ms)
{
    int64_t s = ms / 1000;
    int rest = (int)(ms % 1000);
    if (rest < 0) {
        s--;
        rest += 1000;
    }
    *ret_s = (time_t)s;
    *ret_ms = rest;
}

static const char *format(char out[KP_TIME_TEXT], int64_t ms, bool micro)
{
    time_t s;
    int rest;
    struct tm tm;
    split(ms, &s, &rest);
    if (gmtime_r(&s, &tm) == NULL)
        memset(&tm, 0, sizeof tm);
    // by hand: strftime writes years below 1000 with fewer digits
    char fraction[12] = "";
    if (micro)
        snprintf(fraction, sizeof fraction, ".%03d000", rest);
    snprintf(out, KP_TIME_TEXT, "%04d-%02d-%02dT%02d:%02d:%02d%sZ", tm.tm_year + 1900, tm.tm_mon + 1,
        tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, fraction);
    return out;
}

const char *kp_time_format(char out[KP_TIME_TEXT], int64_t ms)
{
    return format(out, ms, false);
}

const char *kp_time_format_micro(char out[KP_TIME_TEXT], int64_t ms)
{
    return format(out, ms, true);
}

// Exactly n digits; moves on. -1 if they are not there.
static int digits(const char **p, int n)
{
    int v = 0;
    for (int i = 0; i < n; i++, (*p)++) {
        if (**p < '0' || **p > '9')
            return -1;
        v = v * 10 + (**p - '0');
    }
    return v;
}

static bool expect(const char **p, char c)
{
    if (**p != c)
        return false;
    (*p)++;
    return true;
}

static int parse_fraction(const char **p)
{
    int ms = 0, scale = 100;
    if (!expect(p, '.'))
        return 0;
    if (**p < '0' || **p > '9')
        return -1;
    for (; **p >= '0' && **p <= '9'; (*p)++, scale /= 10)
        ms += (**p - '0') * scale;
    return ms;
}

// Minutes east of UTC; false if there is no zone.
static bool parse_zone(const char **p, int *ret_minutes)
{
    *ret_minutes = 0;
    if (expect(p, 'Z') || expect(p, 'z'))
        return true;
    int sign = **p == '+' ? 1 : **p == '-' ? -1 : 0;
    if (sign == 0)
        return false;
    (*p)++;
    int h = digits(p, 2);
    if (h < 0 || h > 23 || !expect(p, ':'))
        return false;
    int m = digits(p, 2);
    if (m < 0 || m > 59)
        return false;
    *ret_minutes = sign * (h * 60 + m);
    return true;
}

static bool date_valid(const struct tm *tm)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year = tm->tm_year + 1900;
    if (tm->tm_mon < 0 || tm->tm_mon > 11 || tm->tm_mday < 1)
        return false;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    int last = days[tm->tm_mon] + (tm->tm_mon == 1 && leap ? 1 : 0);
    return tm->tm_mday <= last && tm->tm_hour >= 0 && tm->tm_hour < 24 && tm->tm_min >= 0 &&
           tm->tm_min < 60 && tm->tm_sec >= 0 && tm->tm_sec <= 60;
}

static bool parse(const char *p, int64_t *ret_ms)
{
    struct tm tm = {0};
    int minutes, year = digits(&p, 4);
    if (year < 0 || !expect(&p, '-'))
        return false;
    tm.tm_year = year - 1900;
    tm.tm_mon = digits(&p, 2) - 1;
    if (!expect(&p, '-'))
        return false;
    tm.tm_mday = digits(&p, 2);
    if (!expect(&p, 'T') && !expect(&p, 't') && !expect(&p, ' '))
        return false;
    tm.tm_hour = digits(&p, 2);
    if (!expect(&p, ':'))
        return false;
    tm.tm_min = digits(&p, 2);
    if (!expect(&p, ':'))
        return false;
    tm.tm_sec = digits(&p, 2);
    int fraction = parse_fraction(&p);
    if (fraction < 0 || !parse_zone(&p, &minutes) || *p != '\0' || !date_valid(&tm))
        return false;
    *ret_ms = ((int64_t)timegm(&tm) - (int64_t)minutes * 60) * 1000 + fraction;
    return true;
}

int kp_time_parse(const char *text, int64_t *ret_ms, struct kp_error *err)
{
    if (!parse(text, ret_ms))
        return kp_fail(err, KP_INVALID, "'%.40s' is not a time; write it like 2026-11-24T13:00:00Z", text);
    return 0;
}

int kp_time_parse_relative(const char *text, int64_t now_ms, int64_t *ret_ms, struct kp_error *err)
{
    int64_t v;
    if (strcmp(text, "now") == 0 || text[0] == '\0') {
        *ret_ms = now_ms;
        return 0;
    }
    if (kp_duration_parse_days(text[0] == '-' ? text + 1 : text, &v, NULL) == 0) {
        *ret_ms = now_ms - v;
        return 0;
    }
    if (kp_parse_int(text, 0, INT64_MAX / 1000, &v, NULL) == 0) {
        *ret_ms = v * 1000;
        return 0;
    }
    if (!parse(text, ret_ms))
        return kp_fail(err, KP_INVALID,
            "'%.40s' is not a time; write now, -1h, -7d, 2026-11-24T13:00:00Z or unix seconds", text);
    return 0;
}
