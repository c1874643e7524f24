// Which location of a space one of another profile probably is: profiles of one build mostly have the same
// location at an address. A guess is checked against the names themselves, so none of them is hashed and
// looked up. Private to this module.
#ifndef KP_PROFILE_SYMBOLS_GUESS_H
#define KP_PROFILE_SYMBOLS_GUESS_H

#include "profile/symbols.h"

// The guess for such a location (its mapping an id of this space): any id, also one past n_locations. Lines
// may be NULL without lines. The hash is what the right one is kept under, should the guess be wrong.
uint32_t kp_symbols_guess(struct kp_symbols *symbols, const struct kp_sym_location *location,
    const struct kp_line *lines, uint32_t *ret_hash);
void kp_symbols_guess_put(struct kp_symbols *symbols, uint32_t hash, uint32_t location);
// The guesses for all locations of a profile; `mappings` are the ids here of its mappings.
void kp_symbols_guess_all(
    struct kp_symbols *symbols, const struct kp_profile *profile, const uint32_t *mappings, uint32_t *ret);

#endif
