#include "base/log.h"

#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/banned.h"

#define MAX_LINE 8192

static const char *const names[] = {"debug", "info", "warn", "error"};

static _Atomic int current_level = KP_LOG_INFO;
static _Atomic bool as_json;
static _Atomic int log_fd = 2;

void kp_log_setup(enum kp_log_level level, bool json, int fd)
{
    current_level = (int)level;
    as_json = json;
    log_fd = fd;
}

enum kp_log_level kp_log_level(void)
{
    return (enum kp_log_level)atomic_load_explicit(&current_level, memory_order_relaxed);
}

int kp_log_level_parse(const char *text, enum kp_log_level *ret, struct kp_error *err)
{
    for (int i = 0; i < 4; i++) {
        if (strcmp(text, names[i]) == 0) {
            *ret = (enum kp_log_level)i;
            return 0;
        }
    }
    return kp_fail(err, KP_INVALID, "'%.40s' is not a log level; use debug, info, warn or error", text);
}

// Text that can stand without quotes: no spaces, nothing that moves a terminal's cursor.
static bool is_plain(const char *s)
{
    for (; *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;
        if (c <= ' ' || c >= 0x7f || c == '"' || c == '=' || c == '\\')
            return false;
    }
    return true;
}

static void add_value(struct kp_strbuf *line, const struct kp_field *field, bool json)
{
    switch (field->kind) {
    case KP_FIELD_STRING: {
        const char *s = field->s != NULL ? field->s : "";
        bool bare = !json && s[0] != '\0' && is_plain(s);
        if (bare)
            kp_strbuf_adds(line, s);
        else
            kp_strbuf_add_json(line, s);
        break;
    }
    case KP_FIELD_INT:
        kp_strbuf_addf(line, "%" PRId64, field->i);
        break;
    case KP_FIELD_FLOAT:
        if (isfinite(field->f))
            kp_strbuf_addf(line, "%.6g", field->f);
        else
            kp_strbuf_adds(line, "null"); // JSON knows no infinity
        break;
    case KP_FIELD_BOOL:
        kp_strbuf_adds(line, field->i != 0 ? "true" : "false");
        break;
    }
}

static void add_json_line(struct kp_strbuf *line, const char *ts, const char *level, const char *message,
    const struct kp_field *fields, size_t n)
{
    kp_strbuf_addf(line, "{\"ts\":\"%s\",\"level\":\"%s\",\"msg\":", ts, level);
    kp_strbuf_add_json(line, message);
    for (size_t i = 0; i < n; i++) {
        kp_strbuf_addc(line, ',');
        kp_strbuf_add_json(line, fields[i].key);
        kp_strbuf_addc(line, ':');
        add_value(line, &fields[i], true);
    }
    kp_strbuf_addc(line, '}');
}

static void add_text_line(struct kp_strbuf *line, const char *ts, const char *level, const char *message,
    const struct kp_field *fields, size_t n)
{
    kp_strbuf_addf(line, "%s %-5s %s", ts, level, message);
    for (size_t i = 0; i < n; i++) {
        kp_strbuf_addf(line, " %s=", fields[i].key);
        add_value(line, &fields[i], false);
    }
}

void kp_log_write(enum kp_log_level level, const char *message, const struct kp_field *fields, size_t n)
{
    char ts[KP_TIME_TEXT];
    kp_time_format_micro(ts, kp_now_ms());
    kp_auto_strbuf line;
    kp_strbuf_init(&line, MAX_LINE);
    if (as_json)
        add_json_line(&line, ts, names[level], message, fields, n);
    else
        add_text_line(&line, ts, names[level], message, fields, n);
    if (line.overflow) {
        // a line that does not fit is said without its fields: half a JSON object helps nobody
        kp_strbuf_clear(&line);
        if (as_json)
            add_json_line(&line, ts, names[level], message, NULL, 0);
        else
            add_text_line(&line, ts, names[level], message, NULL, 0);
    }
    line.max++;
    kp_strbuf_addc(&line, '\n');
    int ignored = kp_write_all(log_fd, line.data, line.len, NULL);
    (void)ignored; // nowhere to complain
}
