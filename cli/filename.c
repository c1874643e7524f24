#include "cli/filename.h"

#include <ctype.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/banned.h"

#define MAX_NAME   240 // file systems take 255
#define SHORT_PART 40

static void add_plain(struct kp_strbuf *out, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        bool is_plain = c < 128 && (isalnum(c) || c == '-' || (c == '.' && out->len > 0));
        kp_strbuf_addc(out, is_plain ? text[i] : '-');
    }
}

// What tells pods of a workload apart stands at the end, so long names are cut in the middle.
static void add_part(struct kp_strbuf *out, const char *text, size_t max)
{
    size_t len = text ? strlen(text) : 0;
    if (len == 0)
        return;
    if (out->len > 0)
        kp_strbuf_addc(out, '_');
    if (len <= max) {
        add_plain(out, text, len);
        return;
    }
    add_plain(out, text, max / 2 - 1);
    kp_strbuf_addc(out, '-');
    add_plain(out, text + len - max / 2, max / 2);
}

// "2026-11-26T01:02:03.456000Z" without what file systems and shells dislike
static void add_time(struct kp_strbuf *out, int64_t ms)
{
    char text[KP_TIME_TEXT];
    char plain[KP_TIME_TEXT];
    size_t n = 0;
    kp_time_format_micro(text, ms);
    for (const char *p = text; *p; p++)
        if (*p != '-' && *p != ':')
            plain[n++] = *p;
    plain[n] = '\0';
    if (n > 4) { // micro- to milliseconds
        plain[n - 4] = 'Z';
        plain[n - 3] = '\0';
    }
    add_part(out, plain, sizeof plain);
}

static void add_all(struct kp_strbuf *out, const struct kp_file_name *name, size_t max)
{
    add_part(out, name->namespace, max);
    add_part(out, name->pod, max);
    add_part(out, name->container, max);
    add_part(out, name->type, max);
    add_time(out, name->time_ms);
    add_part(out, name->id, max);
    kp_strbuf_adds(out, name->end);
}

char *kp_file_name_format(const struct kp_file_name *name)
{
    struct kp_strbuf out;
    kp_strbuf_init(&out, (size_t)KP_KIB * 4);
    add_all(&out, name, MAX_NAME);
    if (out.len > MAX_NAME) {
        kp_strbuf_clear(&out);
        add_all(&out, name, SHORT_PART);
    }
    return kp_strbuf_take(&out, NULL);
}

const char *kp_file_name_end(const char *format, const void *data, size_t len)
{
    if (kp_streq(format, "trace"))
        return ".trace";
    if (kp_streq(format, "text"))
        return ".txt";
    return len > 2 && memcmp(data, "\x1f\x8b", 2) == 0 ? ".pb.gz" : ".pb";
}
