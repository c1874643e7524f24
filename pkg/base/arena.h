// Memory that is freed all at once: for objects made of many small pieces that live and die together.
#ifndef KP_BASE_ARENA_H
#define KP_BASE_ARENA_H

#include <stddef.h>

struct kp_arena; // NULL is an empty one

// Aligned for any type, zeroed. Grows *arena.
void *kp_arena_alloc(struct kp_arena **arena, size_t size);
void *kp_arena_calloc(struct kp_arena **arena, size_t n, size_t size); // overflow ends the process
char *kp_arena_strdup(struct kp_arena **arena, const char *s);         // NULL gives NULL
char *kp_arena_strndup(struct kp_arena **arena, const char *s, size_t n);
void *kp_arena_memdup(struct kp_arena **arena, const void *p, size_t n);
size_t kp_arena_bytes(const struct kp_arena *arena); // taken from the heap
void kp_arena_free(struct kp_arena *arena);

#define KP_ARENA_NEW(arena, type)          ((type *)kp_arena_alloc((arena), sizeof(type)))
#define KP_ARENA_ARRAY(arena, type, count) ((type *)kp_arena_calloc((arena), (count), sizeof(type)))

#endif
