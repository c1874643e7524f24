// A growing array of values. Declare with KP_ARRAY, start from zeroes, free `items` (or kp_array_free).
//
//     KP_ARRAY(struct point) points = {0};
//     *kp_array_add(&points) = (struct point){1, 2};
//     for (size_t i = 0; i < points.n; i++) use(&points.items[i]);
//     kp_array_free(&points);
#ifndef KP_BASE_ARRAY_H
#define KP_BASE_ARRAY_H

#include "base/alloc.h"

#define KP_ARRAY(type)                                                                                       \
    struct {                                                                                                 \
        type *items;                                                                                         \
        size_t n, cap;                                                                                       \
    }

// Pointer to a new, uninitialised last element; valid until the next add.
#define kp_array_add(a)                                                                                      \
    ((a)->n == (a)->cap ? ((a)->cap = (a)->cap ? 2 * (a)->cap : 8,                                           \
                              (a)->items = kp_grow((a)->items, (a)->cap, sizeof *(a)->items))                \
                        : (a)->items,                                                                        \
        &(a)->items[(a)->n++])

#define kp_array_free(a) (kp_free((a)->items), (a)->items = NULL, (a)->n = (a)->cap = 0)

#endif
