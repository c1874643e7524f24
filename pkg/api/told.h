// What was said of the cluster's namespaces since this registry started: of which nothing older than they are
// is kept. Until it was said of all of them (decisions/0008), nobody is shown a namespace of which it was
// not: it may have been deleted and made again while nobody could tell us. Private to this module.
#ifndef KP_API_TOLD_H
#define KP_API_TOLD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct kp_api;
struct kp_told;

#define KP_TOLD_RETRY_S 1

// One of the posts in which all namespaces are told. Those of one round come in order, from part 0 on.
struct kp_told_part {
    const char *round;
    int64_t part;
    bool more;
};

struct kp_told *kp_told_create(struct kp_api *api);
void kp_told_destroy(struct kp_told *told); // NULL is fine

// Nothing of the namespace from before created_ms is kept, or will be.
void kp_told_set(struct kp_told *told, const char *namespace, int64_t created_ms);
bool kp_told_has(const struct kp_told *told, const char *namespace, int64_t created_ms);

// A part was taken. False: one before it did not come to us; all have to be told again, from part 0 on.
bool kp_told_take(struct kp_told *told, const struct kp_told_part *part);
void kp_told_miss(struct kp_told *told); // a part could not be taken

// Not all namespaces were told yet, and they have to be.
bool kp_told_waits(const struct kp_told *told);
// Whether profiles of this namespace may be shown, to who has the right to see them; NULL = of all of them.
// KP_UNAVAILABLE: not yet.
KP_MUST_CHECK int kp_told_check(const struct kp_told *told, const char *namespace, struct kp_error *err);

#endif
