// Joins builds: stacks are the same where functions and lines have the same names. Addresses, mappings and
// system names go; a function is known by its name alone, takes file and first line from where it was seen
// first, and its lines move along with its first line, so that what did not change within a function stays
// the same wherever it moved in the file. Private to this module.
#ifndef KP_STORE_NAMES_H
#define KP_STORE_NAMES_H

#include "base/array.h"
#include "profile/merge.h"
#include "store/sums.h"

struct kp_names {
    struct kp_merger *merger;
    KP_ARRAY(uint32_t) functions; // of the merger's symbols, by string: function + 1; 0 = not seen
};

// Adds what a build's rows come to.
void kp_names_add(struct kp_names *names, const struct kp_symbols *from, const struct kp_sums *sums);
void kp_names_finish(struct kp_names *names); // the merger is not its own

#endif
