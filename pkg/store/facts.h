// What a row says of a capture beside its place, worked out of the record: the same for both tiers. Private
// to this module.
#ifndef KP_STORE_FACTS_H
#define KP_STORE_FACTS_H

#include "store/segment.h"

#define KP_STARTUP_MS 60000

// Sets life, duration_ms, weight and KP_SROW_STARTUP of the row; leaves the rest as it is.
void kp_row_set_facts(struct kp_segment_row *row, const struct kp_record *record);

#endif
