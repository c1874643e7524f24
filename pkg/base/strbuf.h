// A growing string with a maximum. Past the maximum nothing more is added and `overflow` is set: check it
// once at the end. `data` is always NUL-terminated (it may hold NULs as well; `len` counts).
#ifndef KP_BASE_STRBUF_H
#define KP_BASE_STRBUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kp_strbuf {
    char *data; // never NULL after init
    size_t len, cap, max;
    bool overflow;
};

void kp_strbuf_init(struct kp_strbuf *buf, size_t max_bytes);
void kp_strbuf_finish(struct kp_strbuf *buf);
void kp_strbuf_clear(struct kp_strbuf *buf); // keeps the memory

void kp_strbuf_add(struct kp_strbuf *buf, const void *bytes, size_t n);
void kp_strbuf_adds(struct kp_strbuf *buf, const char *s);
void kp_strbuf_addc(struct kp_strbuf *buf, char c);
void kp_strbuf_addf(struct kp_strbuf *buf, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void kp_strbuf_vaddf(struct kp_strbuf *buf, const char *fmt, va_list args)
    __attribute__((format(printf, 2, 0)));

// JSON string with its quotes; invalid UTF-8 becomes U+FFFD.
void kp_strbuf_add_json(struct kp_strbuf *buf, const char *s);
// Percent-encodes all but unreserved characters (RFC 3986 2.3).
void kp_strbuf_add_url(struct kp_strbuf *buf, const char *s);

// The string, to be freed by the caller; the buffer is empty afterwards, holds no memory and may be used
// again.
char *kp_strbuf_take(struct kp_strbuf *buf, size_t *ret_len);

void kp_strbuf_finish_ptr(struct kp_strbuf *buf);
#define kp_auto_strbuf __attribute__((cleanup(kp_strbuf_finish_ptr))) struct kp_strbuf

#endif
