// What the parsers of the legacy forms share: lines, numbers, and a profile in the making whose frames are
// addresses. Private to this module.
#ifndef KP_PROFILE_LEGACY_PRIVATE_H
#define KP_PROFILE_LEGACY_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/array.h"
#include "profile/keyed.h"
#include "profile/legacy.h"
#include "profile/symbols.h"

// ---- text ----

struct kp_text {
    const char *data;
    size_t len;
};

struct kp_legacy_lines {
    const char *p, *end;
    struct kp_text line; // in hand, without its end; empty before the first and behind the last
    size_t number;
    bool too_long; // a line past what google/pprof reads: nothing more comes
};

bool kp_legacy_next(struct kp_legacy_lines *lines);
struct kp_text kp_text_trim(struct kp_text text);
bool kp_text_is(struct kp_text text, const char *word);
bool kp_text_starts(struct kp_text text, const char *prefix);
const char *kp_text_find(struct kp_text text, const char *part); // NULL: it is not there
bool kp_text_is_comment(struct kp_text text);                    // or empty
bool kp_text_is_space(char c);
bool kp_text_is_digit(char c);
int kp_text_hex(char c); // -1: it is none

// At p: takes what is there and moves p behind it, or leaves p alone.
bool kp_take_word(const char **p, const char *end, const char *word);
void kp_take_spaces(const char **p, const char *end); // ' ' only
bool kp_take_digits(const char **p, const char *end, struct kp_text *ret);
// Whole text as a number; false past 64 bits. `prefixed`: 0x, 0o, 0b and 0 tell the base.
bool kp_text_int(struct kp_text text, bool prefixed, int64_t *ret);
bool kp_text_uint(struct kp_text text, unsigned base, uint64_t *ret);

// ---- a profile in the making ----

struct kp_legacy_sample {
    size_t first; // of addresses
    uint32_t n;
    int64_t values[4];
    int64_t block_bytes; // the label "bytes", when not 0
};

struct kp_legacy_mapping {
    uint64_t start, limit, offset;
    char *file, *build_id;
};

struct kp_legacy {
    const char *types[4], *units[4];
    unsigned n_types;
    const char *period_type, *period_unit;
    char *name; // where a type's name or unit is from the text
    int64_t period, duration_ns;
    KP_ARRAY(struct kp_legacy_sample) samples;
    KP_ARRAY(uint64_t) addresses; // leaf first
    KP_ARRAY(struct kp_legacy_mapping) mappings;
    bool leaf_twins;        // the leaf may stand there twice, from the signal and from unwinding
    bool java;              // addresses are numbers of frames, told in:
    struct kp_text symbols; // of the bytes that are read
    size_t max_samples, max_depth, max_addresses;
    struct kp_error *err;
};

struct kp_legacy_sample *kp_legacy_add_sample(struct kp_legacy *l, int *ret_rc); // NULL past the cap
int kp_legacy_add_address(struct kp_legacy *l, uint64_t address);                // to the last sample
void kp_legacy_drop_frame(struct kp_legacy *l, struct kp_legacy_sample *s, uint32_t at);
// All 0x... in the text, each less `back`. KP_INVALID past 64 bits.
int kp_legacy_add_addresses(struct kp_legacy *l, struct kp_text text, uint64_t back);

// The addresses of samples, each once, in the order of first use.
struct kp_legacy_places {
    KP_ARRAY(uint64_t) addresses;
    struct kp_keyed key;
    uint32_t *slots; // number + 1; 0: free
    size_t n_slots;
};

uint32_t kp_legacy_find_place(const struct kp_legacy_places *places, uint64_t address); // UINT32_MAX: none

bool kp_legacy_is_map_start(struct kp_text line);
// Reads on to the memory map, if there is one, and takes it in.
int kp_legacy_read_rest(struct kp_legacy *l, struct kp_legacy_lines *lines);
int kp_legacy_read_maps(struct kp_legacy *l, struct kp_legacy_lines *lines);
// Joins what was split and puts the main binary first.
void kp_legacy_tidy_mappings(struct kp_legacy *l);
// The mapping of each address, KP_NO_MAPPING for 0; adds one for what lies nowhere.
int kp_legacy_place(struct kp_legacy *l, const uint64_t *addresses, uint32_t n, uint32_t *ret);

// Expressions of frames that viewers leave out, and of those they keep all the same.
const char *kp_legacy_drop_frames(const char *first_type, unsigned n_types, const char **ret_keep);

// 0; KP_NOT_FOUND: not this form; KP_INVALID, KP_LIMIT: this form, but broken.
int kp_legacy_cpu(struct kp_legacy *l, const uint8_t *data, size_t len);
int kp_legacy_heap(struct kp_legacy *l, struct kp_text text);
int kp_legacy_count(struct kp_legacy *l, struct kp_text text);
int kp_legacy_threads(struct kp_legacy *l, struct kp_text text);
int kp_legacy_contention(struct kp_legacy *l, struct kp_text text);
int kp_legacy_java(struct kp_legacy *l, struct kp_text text);

// What was sampled at this rate, made what it stands for.
void kp_legacy_unsample(int64_t *count, int64_t *bytes, int64_t rate);
// Java: reads what the frames are, and makes functions and lines of the profile's locations.
int kp_legacy_java_frames(struct kp_legacy *l, const struct kp_legacy_places *places,
    struct kp_symbols *strings, struct kp_profile *p);

#endif
