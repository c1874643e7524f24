// Hash maps are uthash with our allocator: the handle lies inside the element. Out of memory ends the
// process.
#ifndef KP_BASE_MAP_H
#define KP_BASE_MAP_H

#include "base/alloc.h"
#include "base/hash.h"

#define uthash_malloc(size)    kp_alloc(size)
#define uthash_free(ptr, size) kp_free(ptr)
// keys come from outside: a well mixed hash, and one that clang does not warn about
#define HASH_FUNCTION(keyptr, keylen, hashv) ((hashv) = (unsigned)kp_hash64((keyptr), (keylen), 0x6b70))
#include <uthash.h>

#endif
