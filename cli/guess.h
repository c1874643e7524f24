// What type a profile in a file is of: files do not say.
#ifndef KP_CLI_GUESS_H
#define KP_CLI_GUESS_H

#include "cli/cli.h"
#include "profile/profile.h"

// "cpu", "heap", "allocs", "block", "mutex", "goroutine", "threadcreate", "fgprof"; else the name of the
// default sample type; NULL if that is no name for a type. Block and mutex profiles have the same values:
// they are told apart by where their stacks end.
const char *kp_guess_type(const struct kp_profile *profile, char *out, size_t size);
// Whether a file's values are of another of Go's types than somebody says. Types with the same values (heap
// and allocs, block and mutex) and types with names of their own contradict nothing.
bool kp_guess_contradicts(const char *guessed, const char *said);
// Whether these bytes are an execution trace of Go.
bool kp_guess_is_trace(const void *data, size_t len);

#endif
