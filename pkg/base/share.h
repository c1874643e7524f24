// Room that is there for all, and that none may fill: whoever takes much leaves some to the others, whatever
// their number, and nobody has to know it. A taker may have so many times what is left free: one alone gets
// three quarters, two get three sevenths each, and who has little is hardly ever told to wait.
#ifndef KP_BASE_SHARE_H
#define KP_BASE_SHARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/map.h"

#define KP_SHARE_OF_FREE 3

// Whether one who has `has` of the `used` (of all) may have `more`. Who has nothing always may.
static inline bool kp_share_fits(uint64_t has, uint64_t more, uint64_t used, uint64_t limit)
{
    uint64_t left = used < limit ? limit - used : 0;
    return has == 0 || (has <= UINT64_MAX - more && has + more <= KP_SHARE_OF_FREE * left);
}

// Who takes how much: a table of those who have something. An empty one is NULL.
struct kp_share {
    size_t n; // things
    uint64_t bytes;
    UT_hash_handle hh;
    char name[];
};

// One thing more, of so many bytes; the share lives until its last thing leaves.
struct kp_share *kp_share_enter(struct kp_share **shares, const char *name, uint64_t bytes);
void kp_share_leave(struct kp_share **shares, struct kp_share *share, uint64_t bytes);
struct kp_share *kp_share_find(struct kp_share *shares, const char *name); // NULL: has nothing
void kp_share_free_all(struct kp_share **shares);

#endif
