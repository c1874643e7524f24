// What the log says when a replica begins or ceases to lead.
#ifndef KP_CONTROLLER_LEAD_H
#define KP_CONTROLLER_LEAD_H

#include <stdbool.h>

// holder: who holds the Lease as far as this replica knows, "" if nobody.
void kp_lead_tell(const char *identity, const char *holder, bool leads);

#endif
