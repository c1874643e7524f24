#include "base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <string.h>

#include "base/alloc.h"
#include "base/banned.h"

#define FIRST_BYTES 512
#define MAX_BYTES   65536

struct kp_arena { // a chunk; the newest is the head
    struct kp_arena *older;
    size_t used, size;
    alignas(max_align_t) unsigned char bytes[];
};

static struct kp_arena *add_chunk(struct kp_arena *older, size_t need)
{
    size_t size = older == NULL ? FIRST_BYTES : older->size * 2;
    if (size > MAX_BYTES)
        size = MAX_BYTES;
    if (size < need)
        size = need;
    struct kp_arena *chunk = kp_alloc(sizeof *chunk + size);
    chunk->older = older;
    chunk->used = 0;
    chunk->size = size;
    return chunk;
}

void *kp_arena_alloc(struct kp_arena **arena, size_t size)
{
    const size_t align = alignof(max_align_t);
    size_t need = (size + align - 1) / align * align;
    if (need < size)
        need = SIZE_MAX / 2; // overflow: ends in kp_alloc
    if (*arena == NULL || (*arena)->size - (*arena)->used < need)
        *arena = add_chunk(*arena, need);
    void *p = (*arena)->bytes + (*arena)->used;
    (*arena)->used += need;
    return memset(p, 0, size);
}

void *kp_arena_calloc(struct kp_arena **arena, size_t n, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes))
        bytes = SIZE_MAX / 2; // ends in kp_alloc
    return kp_arena_alloc(arena, bytes);
}

void *kp_arena_memdup(struct kp_arena **arena, const void *p, size_t n)
{
    void *copy = kp_arena_alloc(arena, n);
    if (n > 0)
        memcpy(copy, p, n);
    return copy;
}

char *kp_arena_strdup(struct kp_arena **arena, const char *s)
{
    return s == NULL ? NULL : kp_arena_memdup(arena, s, strlen(s) + 1);
}

char *kp_arena_strndup(struct kp_arena **arena, const char *s, size_t n)
{
    size_t len = strnlen(s, n);
    char *copy = kp_arena_alloc(arena, len + 1);
    memcpy(copy, s, len);
    return copy;
}

size_t kp_arena_bytes(const struct kp_arena *arena)
{
    size_t bytes = 0;
    for (; arena != NULL; arena = arena->older)
        bytes += sizeof *arena + arena->size;
    return bytes;
}

void kp_arena_free(struct kp_arena *arena)
{
    while (arena != NULL) {
        struct kp_arena *older = arena->older;
        kp_free(arena);
        arena = older;
    }
}
