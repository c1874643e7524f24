// Memory. Out of memory ends the process (the pod restarts and a level-driven operator recovers), so nothing
// here returns NULL. Sizes that come from outside are limited before they get here.
#ifndef KP_BASE_ALLOC_H
#define KP_BASE_ALLOC_H

#include <stddef.h>

void *kp_alloc(size_t size);                   // uninitialised
void *kp_calloc(size_t n, size_t size);        // zeroed; overflow ends the process
void *kp_realloc(void *p, size_t size);        // p may be NULL
void *kp_grow(void *p, size_t n, size_t size); // realloc to n elements of size, overflow checked
char *kp_strdup(const char *s);                // NULL gives NULL
char *kp_strndup(const char *s, size_t n);
void *kp_memdup(const void *p, size_t n);
char *kp_asprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void kp_free(void *p); // NULL is fine

#define KP_NEW(type)          ((type *)kp_calloc(1, sizeof(type)))
#define KP_NEW_ARRAY(type, n) ((type *)kp_calloc((n), sizeof(type)))

// For a process whose jobs take large buffers, once at its start: how much of what is freed malloc keeps.
// Fixed bounds, since malloc would raise its own to the largest buffer it has seen and then keep as much for
// ever.
void kp_alloc_set_up(void);

// Frees a local pointer when it goes out of scope:  kp_auto_free char *name = kp_strdup(x);
void kp_free_ptr(void *pointer_to_pointer);
#define kp_auto_free __attribute__((cleanup(kp_free_ptr)))

// Takes a pointer out of a variable and leaves NULL there: return kp_take(name);
#define kp_take(p)                                                                                           \
    __extension__({                                                                                          \
        __typeof__(p) kp_taken_ = (p);                                                                       \
        (p) = NULL;                                                                                          \
        kp_taken_;                                                                                           \
    })

#define KP_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
