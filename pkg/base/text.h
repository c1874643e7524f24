// Small things about strings that several modules need.
#ifndef KP_BASE_TEXT_H
#define KP_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

bool kp_streq(const char *a, const char *b); // NULLs are equal to each other only
bool kp_starts_with(const char *s, const char *prefix);
bool kp_ends_with(const char *s, const char *suffix);
// Like strlcpy: copies, cuts, terminates; returns whether all of it fitted.
bool kp_copy(char *out, size_t size, const char *s);
// Whether word is one of words, which stand with blanks between.
bool kp_has_word(const char *words, const char *word);
// Whole text as a number within [min, max]; no spaces, no sign unless min < 0.
KP_MUST_CHECK int kp_parse_int(
    const char *text, int64_t min, int64_t max, int64_t *ret, struct kp_error *err);
KP_MUST_CHECK int kp_parse_bool(
    const char *text, bool *ret, struct kp_error *err); // true false (also 1 0 yes no on off)
// Length of the UTF-8 sequence at s (len > 0 bytes are there); 0 if it is not valid (RFC 3629).
size_t kp_utf8_length(const char *s, size_t len);
// The character of a valid sequence of that length.
uint32_t kp_utf8_rune(const char *s, size_t len);
bool kp_utf8_valid(const char *s, size_t len);
// How many bytes have to be put in, left out or changed to make one of the other: to guess what was meant.
// Of longer texts than KP_EDIT_MAX: SIZE_MAX.
#define KP_EDIT_MAX 64
size_t kp_edit_distance(const char *a, const char *b);
// Percent-decodes into out (size >= strlen + 1); false on a bad escape or a NUL.
bool kp_url_decode(const char *s, size_t len, char *out);
// Makes text from outside fit for a log or status: one line, printable, at most size - 1 bytes (cut with
// "...").
const char *kp_printable(char *out, size_t size, const char *s, size_t len);

// Whether an authority ("127.0.0.1:80", "[::1]:80", "localhost") is this machine, with nobody between. A name
// like 127.example.org is not.
bool kp_is_loopback(const char *authority);

#endif
