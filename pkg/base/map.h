// Hash maps are uthash with our allocator: the handle lies inside the element. Out of memory ends the
// process.
#ifndef KP_BASE_MAP_H
#define KP_BASE_MAP_H

#include "base/alloc.h"

#define uthash_malloc(size)    kp_alloc(size)
#define uthash_free(ptr, size) kp_free(ptr)
#include <uthash.h>

#endif
