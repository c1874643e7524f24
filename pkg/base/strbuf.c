#include "base/strbuf.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "base/banned.h"

// What an empty buffer shows until something is added. Never written: cap 0 says that it is not from the
// heap.
static char nothing[1];

void kp_strbuf_init(struct kp_strbuf *buf, size_t max_bytes)
{
    *buf = (struct kp_strbuf){.data = nothing, .max = max_bytes};
}

void kp_strbuf_finish(struct kp_strbuf *buf)
{
    if (buf->cap > 0)
        kp_free(buf->data);
    *buf = (struct kp_strbuf){0};
}

void kp_strbuf_finish_ptr(struct kp_strbuf *buf)
{
    kp_strbuf_finish(buf);
}

void kp_strbuf_clear(struct kp_strbuf *buf)
{
    buf->len = 0;
    buf->overflow = false;
    if (buf->cap > 0)
        buf->data[0] = '\0';
}

// Room for n more bytes and a NUL; false past the maximum.
static bool reserve(struct kp_strbuf *buf, size_t n)
{
    if (buf->overflow || n > buf->max || buf->len > buf->max - n) {
        buf->overflow = true;
        return false;
    }
    if (buf->len + n + 1 > buf->cap) {
        char *old = buf->cap > 0 ? buf->data : NULL;
        size_t cap = buf->cap > 0 ? buf->cap * 2 : 64;
        buf->cap = cap < buf->len + n + 1 ? buf->len + n + 1 : cap;
        buf->data = kp_realloc(old, buf->cap);
    }
    return true;
}

void kp_strbuf_add(struct kp_strbuf *buf, const void *bytes, size_t n)
{
    if (n == 0 || !reserve(buf, n))
        return;
    memcpy(buf->data + buf->len, bytes, n);
    buf->len += n;
    buf->data[buf->len] = '\0';
}

void kp_strbuf_adds(struct kp_strbuf *buf, const char *s)
{
    kp_strbuf_add(buf, s, strlen(s));
}

void kp_strbuf_addc(struct kp_strbuf *buf, char c)
{
    kp_strbuf_add(buf, &c, 1);
}

void kp_strbuf_vaddf(struct kp_strbuf *buf, const char *fmt, va_list args)
{
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    if (n > 0 && reserve(buf, (size_t)n)) {
        vsnprintf(buf->data + buf->len, (size_t)n + 1, fmt, again);
        buf->len += (size_t)n;
    }
    va_end(again);
}

void kp_strbuf_addf(struct kp_strbuf *buf, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    kp_strbuf_vaddf(buf, fmt, args);
    va_end(args);
}

static void add_json_char(struct kp_strbuf *buf, unsigned char c)
{
    static const char names[] = "\b\f\n\r\t\"\\";
    static const char letters[] = "bfnrt\"\\";
    const char *at = c != '\0' ? strchr(names, c) : NULL;
    if (at != NULL) {
        kp_strbuf_addc(buf, '\\');
        kp_strbuf_addc(buf, letters[at - names]);
    } else if (c < 0x20 || c == 0x7f) {
        kp_strbuf_addf(buf, "\\u%04x", c);
    } else {
        kp_strbuf_addc(buf, (char)c);
    }
}

void kp_strbuf_add_json(struct kp_strbuf *buf, const char *s)
{
    size_t n = strlen(s);
    kp_strbuf_addc(buf, '"');
    for (size_t i = 0; i < n;) {
        size_t len = kp_utf8_length(s + i, n - i);
        if (len == 0)
            kp_strbuf_adds(buf, "\xef\xbf\xbd");
        else if (len == 1)
            add_json_char(buf, (unsigned char)s[i]);
        else
            kp_strbuf_add(buf, s + i, len);
        i += len != 0 ? len : 1;
    }
    kp_strbuf_addc(buf, '"');
}

void kp_strbuf_add_url(struct kp_strbuf *buf, const char *s)
{
    for (; *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            strchr("-._~", c) != NULL)
            kp_strbuf_addc(buf, (char)c);
        else
            kp_strbuf_addf(buf, "%%%02X", c);
    }
}

char *kp_strbuf_take(struct kp_strbuf *buf, size_t *ret_len)
{
    char *data = buf->cap > 0 ? buf->data : kp_strdup("");
    if (ret_len != NULL)
        *ret_len = buf->len;
    kp_strbuf_init(buf, buf->max);
    return data;
}
