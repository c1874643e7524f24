#include "base/alloc.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The one file without base/banned.h: it is where the banned functions are wrapped.

static void *must(void *p)
{
    if (p == NULL) {
        fputs("kube-pprof: out of memory\n", stderr);
        abort();
    }
    return p;
}

void kp_alloc_set_up(void)
{
    mallopt(M_ARENA_MAX, 2); // an arena per thread would keep large buffers in each
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
    mallopt(M_TRIM_THRESHOLD, 4 << 20);
}

void *kp_alloc(size_t size)
{
    return must(malloc(size != 0 ? size : 1));
}

void *kp_calloc(size_t n, size_t size)
{
    return must(calloc(n != 0 ? n : 1, size != 0 ? size : 1));
}

void *kp_realloc(void *p, size_t size)
{
    return must(realloc(p, size != 0 ? size : 1));
}

void *kp_grow(void *p, size_t n, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes))
        must(NULL);
    return kp_realloc(p, bytes);
}

char *kp_strdup(const char *s)
{
    return s == NULL ? NULL : kp_memdup(s, strlen(s) + 1);
}

char *kp_strndup(const char *s, size_t n)
{
    return must(strndup(s, n));
}

void *kp_memdup(const void *p, size_t n)
{
    void *copy = kp_alloc(n);
    if (n > 0)
        memcpy(copy, p, n);
    return copy;
}

char *kp_asprintf(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char *text = NULL;
    if (vasprintf(&text, fmt, args) < 0)
        must(NULL);
    va_end(args);
    return text;
}

void kp_free(void *p)
{
    free(p);
}

void kp_free_ptr(void *pointer_to_pointer)
{
    void *p;
    memcpy(&p, pointer_to_pointer, sizeof p);
    free(p);
}
