// A profile in memory: pprof's message as plain arrays that point to each other by index. Everything a
// google/pprof Profile holds is kept. Made by kp_profile_decode(), by a symbol space (symbols.h), by
// operations (merge.h, filter.h), or by hand with the functions below. One arena owns it all; a profile is
// changed by one thread at a time and may be read by many. Format: profile.proto of github.com/google/pprof.
#ifndef KP_PROFILE_PROFILE_H
#define KP_PROFILE_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/strbuf.h"
#include "profile/check.h"

// A string of the table. Not NUL-terminated where it comes from outside; print with "%.*s".
struct kp_str {
    const char *data;
    uint32_t len;
};

struct kp_value_type {
    uint32_t type, unit; // strings
};

enum {
    KP_MAPPING_FUNCTIONS = 1,
    KP_MAPPING_FILENAMES = 2,
    KP_MAPPING_LINES = 4,
    KP_MAPPING_INLINES = 8,
};

struct kp_mapping {
    uint64_t start, limit, offset;
    uint32_t filename, build_id; // strings
    uint32_t flags;              // KP_MAPPING_*
};

struct kp_function {
    uint32_t name, system_name, filename; // strings
    int64_t start_line;
};

struct kp_line {
    uint32_t function; // index
    int64_t line, column;
};

#define KP_NO_MAPPING UINT32_MAX

struct kp_location {
    uint64_t address;
    uint32_t mapping; // index, or KP_NO_MAPPING
    uint32_t first_line, n_lines;
    bool folded;
};

struct kp_sample_label {
    uint32_t key, str, unit; // strings; str != 0: a text, else num with unit
    int64_t num;
};

struct kp_sample {
    uint32_t first_frame, n_frames; // of frames[]: locations, the leaf first
    uint32_t first_label, n_labels; // of labels[]
};

struct kp_profile {
    struct kp_arena *arena;
    struct kp_str *strings; // [0] is ""
    struct kp_value_type *sample_types;
    struct kp_sample *samples;
    int64_t *values; // sample s, type t: values[s * n_sample_types + t]
    uint32_t *frames;
    struct kp_sample_label *labels;
    struct kp_mapping *mappings; // [0] is the main binary
    struct kp_location *locations;
    struct kp_line *lines;
    struct kp_function *functions;
    uint32_t *comments; // strings
    uint32_t n_strings, n_sample_types, n_samples, n_frames, n_labels, n_mappings, n_locations, n_lines,
        n_functions, n_comments;
    int64_t time_ns, duration_ns, period;
    struct kp_value_type period_type;
    bool has_period_type;
    bool legacy; // decoded from a form before profile.proto (legacy.h): encoding gives another kind of bytes
    uint32_t drop_frames, keep_frames, default_type, doc_url; // strings
    struct {
        void *bytes, *tables, *frames, *labels, *lines;
    } buffers; // private: what a decoded profile's strings and arrays lie in
};

// Decodes gzip or bare protobuf with every bound checked, as google/pprof does: accepts and refuses the same.
// Legacy text and binary forms are told apart and decoded too (legacy.h). KP_INVALID with a sentence,
// KP_LIMIT past a cap. Limits NULL = defaults. The result keeps no pointer into data. A profile without
// samples is decoded, not refused.
KP_MUST_CHECK int kp_profile_decode(const void *data, size_t len, const struct kp_profile_limits *limits,
    struct kp_profile **ret, struct kp_error *err);
void kp_profile_free(struct kp_profile *profile); // NULL is fine
void kp_profile_free_ptr(struct kp_profile **profile);
#define kp_auto_profile __attribute__((cleanup(kp_profile_free_ptr))) struct kp_profile

// Encodes as bare protobuf, or gzip when level is 1..9 (12 = the smallest). The same profile gives the same
// bytes, always (fixed gzip header, ids 1..n in order of the arrays). Appends to out; sets out->overflow past
// its maximum.
void kp_profile_encode(const struct kp_profile *profile, int gzip_level, struct kp_strbuf *out);

// An empty profile with string 0 there.
struct kp_profile *kp_profile_new(void);

static inline struct kp_str kp_profile_str(const struct kp_profile *profile, uint32_t at)
{
    return profile->strings[at];
}
static inline bool kp_str_equal(struct kp_str a, struct kp_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}
bool kp_profile_str_is(const struct kp_profile *profile, uint32_t at, const char *text);

// Index of the sample type with this name, or -1. "" or NULL: the default type (default_type, else the last).
int kp_profile_type_index(const struct kp_profile *profile, const char *type);
// Sum of one sample type over all samples.
int64_t kp_profile_total(const struct kp_profile *profile, uint32_t type);

#endif
