// Which location of a space one of another profile probably is: profiles of one build mostly have the same
// location at an address. A guess is checked against the names themselves, so none of them is hashed and
// looked up. Private to this module.
#ifndef KP_PROFILE_SYMBOLS_GUESS_H
#define KP_PROFILE_SYMBOLS_GUESS_H

#include "profile/symbols.h"

// Where the guess lies for such a location (its mapping an id of this space) with its first line at this
// number, 0 without lines: any id, also one past n_locations. Write the right one there; valid until the next
// call.
uint32_t *kp_symbols_guess(
    struct kp_symbols *symbols, const struct kp_sym_location *location, const struct kp_line *lines);

#endif
