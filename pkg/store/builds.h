// The programs whose profiles go into a merge: each has a symbol space of its own, in which its stacks are
// summed with their addresses. Private to this module.
#ifndef KP_STORE_BUILDS_H
#define KP_STORE_BUILDS_H

#include <stdbool.h>

#include "base/map.h"
#include "store/sums.h"

struct kp_build {
    uint64_t key;
    struct kp_symbols *symbols;
    bool owns_symbols;
    uint32_t adopted; // number of the source whose ids the symbols have; 0 = of none
    struct kp_sums sums;
    uint8_t *marks; // by row: whatever the reader of the rows makes of them; n_marks are set
    uint32_t n_marks, cap_marks;
    UT_hash_handle hh;
};

struct kp_builds {
    struct kp_symbols *lent; // symbols for the first build, not owned; NULL = it gets its own
    struct kp_build *all;
    uint32_t n;
};

// What tells a build from others: the build id of its main binary; where there is none the image and the
// file, or the file and its size. digest: of the image, "" = not known.
uint64_t kp_build_key(struct kp_str build_id, struct kp_str filename, uint64_t size, const char *digest);
// The build, which is added if it is new.
struct kp_build *kp_builds_get(struct kp_builds *builds, uint64_t key, uint32_t n_types);
size_t kp_builds_bytes(const struct kp_builds *builds);
void kp_builds_finish(struct kp_builds *builds);

#endif
