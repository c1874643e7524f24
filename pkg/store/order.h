// In which order the captures of a merge are read. Private to this module.
#ifndef KP_STORE_ORDER_H
#define KP_STORE_ORDER_H

#include "store/picks.h"

// By place: segment by segment and block by block, then the log. What comes first stays first: it gives the
// sum its header.
void kp_order_by_place(struct kp_picks *picks, bool first_stays);
// By pod, life and time.
void kp_order_by_life(struct kp_picks *picks);

#endif
