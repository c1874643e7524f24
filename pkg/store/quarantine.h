// Files of damaged segments: nothing of them is shown, they are kept for people and for `registry repair`.
// Their names say whose they are, and since when. Private to this module; on the writer.
#ifndef KP_STORE_QUARANTINE_H
#define KP_STORE_QUARANTINE_H

#include <stdbool.h>
#include <stdint.h>

struct kp_store;

// Removes those of which everything was forgotten, and those past the age of what is in them.
void kp_quarantine_sweep(struct kp_store *store);
// Whether one may hold something of a namespace from before a time: the note that says so must stay, or
// repair would bring it back.
bool kp_quarantine_may_hold(const struct kp_store *store, const char *namespace, int64_t before_ms);

#endif
