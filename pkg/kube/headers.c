#include "kube/headers.h"

#include <stdarg.h>
#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/strbuf.h"

#include "base/banned.h"

void kp_headers_init(struct kp_headers *headers)
{
    headers->n = 0;
    headers->cap = 16;
    headers->items = KP_NEW_ARRAY(char *, headers->cap);
}

void kp_headers_finish(struct kp_headers *headers)
{
    for (size_t i = 0; i < headers->n; i++) {
        explicit_bzero(headers->items[i], strlen(headers->items[i]));
        kp_free(headers->items[i]);
    }
    kp_free(headers->items);
}

void kp_headers_add(struct kp_headers *headers, const char *fmt, ...)
{
    struct kp_strbuf text;
    va_list args;
    kp_strbuf_init(&text, 256 * KP_KIB);
    va_start(args, fmt);
    kp_strbuf_vaddf(&text, fmt, args);
    va_end(args);
    if (headers->n + 1 == headers->cap)
        headers->items = kp_grow(headers->items, headers->cap *= 2, sizeof *headers->items);
    headers->items[headers->n++] = kp_strbuf_take(&text, NULL);
    headers->items[headers->n] = NULL;
}
