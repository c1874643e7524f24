// Is this a valid profile? All of the protobuf is read under caps: small ones are decoded for it, large ones
// walked without building anything (walk.h).
// Accepts what google/pprof accepts (gzip or bare, packed or not, unknown fields) and refuses what it refuses
// (profile.proto and CheckValid of github.com/google/pprof). The legacy forms count as profiles too. Pure;
// safe on any bytes; runs in jobs.
#ifndef KP_PROFILE_CHECK_H
#define KP_PROFILE_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum kp_profile_verdict {
    KP_PROFILE_VALID,
    KP_PROFILE_EMPTY,     // valid, but without samples
    KP_PROFILE_INVALID,   // not pprof, or broken; the error says where
    KP_PROFILE_TOO_LARGE, // past a cap: inflated size, ratio, entities, depth, labels
};

struct kp_profile_limits {
    size_t max_inflated_bytes; // 0 = KP_MAX_INFLATED_BYTES
    unsigned max_ratio;        // 0 = KP_MAX_INFLATE_RATIO (applies above 8 MiB)
    size_t max_entities;       // samples, locations, functions, mappings, strings each; 0 = 4 000 000
    size_t max_depth;          // frames of one stack; 0 = 65 536
    size_t max_labels;         // of one sample; 0 = 256
};

struct kp_profile_summary {
    size_t n_samples, n_locations, n_functions, n_mappings, n_strings, n_sample_types;
    size_t inflated_bytes;
    int64_t time_ns, duration_ns, period;
    char first_type[64], first_unit[64]; // of sample_type[0]
    char default_type[64];
    char build_id[64]; // of the main mapping
    bool legacy;       // a text or a binary from before profile.proto (legacy.h)
};

// Limits NULL = defaults. ret may be NULL.
enum kp_profile_verdict kp_profile_check(const void *data, size_t len, const struct kp_profile_limits *limits,
    struct kp_profile_summary *ret, struct kp_error *err);

// Inflates gzip (all members) into a new buffer, or copies bare bytes; KP_LIMIT past the caps, KP_INVALID if
// broken.
KP_MUST_CHECK int kp_profile_inflate(const void *data, size_t len, const struct kp_profile_limits *limits,
    uint8_t **ret, size_t *ret_len, struct kp_error *err);

// Whether the first bytes can be a pprof profile at all: gzip magic, or a protobuf field of profile.proto.
// For the controller, which decodes nothing: tells HTML and texts early.
bool kp_profile_sniff(const void *data, size_t len);

#endif
