// Regular expressions from outside, matched in time proportional to expression times text. (The C library's
// take exponential time and memory for some.)
//
// Understood: | ( ) (?: ) [ ] . ^ $ * + ? {m} {m,} {m,n}, classes [:alpha:] and so on, \d \w \s \D \W \S, a
// backslash before punctuation, (?i) at the beginning (ASCII letters in either case). Text is UTF-8; a byte
// that is not counts as a character of its own.
#ifndef KP_BASE_REGEX_H
#define KP_BASE_REGEX_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct kp_regex; // immutable, so usable by several threads

// KP_INVALID where it is wrong, KP_LIMIT where it or what its repeats multiply to is too large.
KP_MUST_CHECK int kp_regex_compile(const char *text, struct kp_regex **ret, struct kp_error *err);
void kp_regex_destroy(struct kp_regex *regex); // NULL is fine
// The whole text has to match.
bool kp_regex_matches(const struct kp_regex *regex, const char *text);
// How much work it is at the most for a character of the text.
size_t kp_regex_steps(const struct kp_regex *regex);
// A part of the text has to match; the text may hold NULs.
bool kp_regex_finds(const struct kp_regex *regex, const char *text, size_t len);

#endif
