#include "store/segment_name.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/row.h"
#include "base/banned.h"

#define HOUR_MS INT64_C(3600000)

// What a file name can be made of; no two namespaces become the same.
static void add_escaped(struct kp_strbuf *out, const char *namespace)
{
    if (namespace[0] == '\0')
        kp_strbuf_addc(out, '_');
    for (const char *p = namespace; *p; p++) {
        bool plain = (*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || *p == '-';
        if (plain)
            kp_strbuf_addc(out, *p);
        else
            kp_strbuf_addf(out, "_%02x", (unsigned)(uint8_t)*p);
    }
}

void kp_segment_name_begin(
    struct kp_strbuf *out, const char *namespace, int64_t period_ms, bool is_day, uint32_t keep_s)
{
    struct tm tm = {0};
    time_t seconds = (time_t)(period_ms / 1000);
    gmtime_r(&seconds, &tm);
    add_escaped(out, namespace);
    kp_strbuf_addf(out, "/%04d%02d%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
    if (!is_day)
        kp_strbuf_addf(out, "T%02d", tm.tm_hour);
    if (keep_s == KP_KEEP_DEFAULT)
        kp_strbuf_adds(out, "-d");
    else
        kp_strbuf_addf(out, "-%" PRIu32, keep_s);
}

// ---- reading ----

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_namespace(const char *text, size_t len, char out[256])
{
    size_t n = 0;
    for (size_t i = 0; i < len && !(len == 1 && text[0] == '_'); i++) {
        if (n == 255)
            return false;
        if (text[i] != '_') {
            out[n++] = text[i];
            continue;
        }
        int high = i + 2 < len ? hex_digit(text[i + 1]) : -1;
        int low = i + 2 < len ? hex_digit(text[i + 2]) : -1;
        if (high < 0 || low < 0 || (high == 0 && low == 0))
            return false;
        out[n++] = (char)(high * 16 + low);
        i += 2;
    }
    out[n] = '\0';
    return len > 0;
}

static bool read_digits(const char **p, int n, int *ret)
{
    *ret = 0;
    for (int i = 0; i < n; i++, ++*p) {
        if (**p < '0' || **p > '9')
            return false;
        *ret = *ret * 10 + (**p - '0');
    }
    return true;
}

static bool read_period(const char **p, struct kp_segment_name *ret)
{
    struct tm tm = {0};
    if (!read_digits(p, 4, &tm.tm_year) || !read_digits(p, 2, &tm.tm_mon) || !read_digits(p, 2, &tm.tm_mday))
        return false;
    bool is_day = **p != 'T';
    if (!is_day) {
        ++*p;
        if (!read_digits(p, 2, &tm.tm_hour))
            return false;
    }
    tm.tm_year -= 1900;
    tm.tm_mon--;
    ret->from_ms = (int64_t)timegm(&tm) * 1000;
    ret->to_ms = ret->from_ms + (is_day ? 24 : 1) * HOUR_MS;
    return true;
}

bool kp_segment_name_parse(const char *name, struct kp_segment_name *ret)
{
    const char *slash = strchr(name, '/');
    char *end;
    if (slash == NULL || !read_namespace(name, (size_t)(slash - name), ret->namespace))
        return false;
    const char *p = slash + 1;
    if (!read_period(&p, ret) || *p++ != '-')
        return false;
    if (p[0] == 'd' && p[1] == '-') {
        ret->keep_s = KP_KEEP_DEFAULT;
        return true;
    }
    unsigned long long keep_s = strtoull(p, &end, 10);
    ret->keep_s = (uint32_t)keep_s;
    return end != p && *end == '-' && keep_s < KP_KEEP_DEFAULT;
}
