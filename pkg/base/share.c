#include "base/share.h"

#include <string.h>

#include "base/alloc.h"
#include "base/banned.h"

struct kp_share *kp_share_find(struct kp_share *shares, const char *name)
{
    struct kp_share *share;
    HASH_FIND_STR(shares, name, share);
    return share;
}

struct kp_share *kp_share_enter(struct kp_share **shares, const char *name, uint64_t bytes)
{
    struct kp_share *share = kp_share_find(*shares, name);
    if (share == NULL) {
        size_t len = strlen(name);
        share = kp_calloc(1, sizeof *share + len + 1);
        memcpy(share->name, name, len);
        HASH_ADD_KEYPTR(hh, *shares, share->name, len, share);
    }
    share->n++;
    share->bytes += bytes;
    return share;
}

void kp_share_leave(struct kp_share **shares, struct kp_share *share, uint64_t bytes)
{
    share->bytes -= bytes;
    if (--share->n > 0)
        return;
    HASH_DEL(*shares, share);
    kp_free(share);
}

void kp_share_free_all(struct kp_share **shares)
{
    struct kp_share *share;
    struct kp_share *next;
    HASH_ITER (hh, *shares, share, next) {
        HASH_DEL(*shares, share);
        kp_free(share);
    }
}
