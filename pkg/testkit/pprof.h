// Makes profiles for tests: small valid pprof bytes, the same for the same recipe.
#ifndef KP_TESTKIT_PPROF_H
#define KP_TESTKIT_PPROF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kp_pprof_recipe {
    // "type/unit", NULL-terminated; NULL: "samples/count", "cpu/nanoseconds"
    const char *const *sample_types;
    const char *period_type; // "cpu/nanoseconds"; NULL: the last sample type
    int64_t period;          // 0: 10000000
    int64_t time_nanos;      // 0: left out
    int64_t duration_nanos;  // 0: left out
    unsigned stacks;         // samples, each with a stack of its own; 0 makes a profile without samples
    unsigned depth;          // frames of a stack; 0: 4
    int64_t value;           // of each sample and type, times its number (1, 2, ...); 0: 1
    // keys and values in turn, NULL-terminated, on every sample; NULL: none
    const char *const *labels;
    const char *build_id; // of the one mapping; NULL: "build"
    const char *binary;   // its file; NULL: "/app/main"
    uint64_t seed;        // moves the addresses: another build of the program
    bool gzip;            // in a gzip wrapper (stored, not squeezed)
};

// Functions are called main.f0 ... ; frame 0 of stack i is main.leaf<i>. Free it with kp_free.
uint8_t *kp_pprof_make(const struct kp_pprof_recipe *recipe, size_t *ret_len);

// The bytes in a gzip wrapper, stored without squeezing. Free it with kp_free.
uint8_t *kp_test_gzip(const void *data, size_t len, size_t *ret_len);

#endif
