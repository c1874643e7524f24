// What every reader of profiles refuses, and with which words: for the tests of each of them.
#ifndef KP_PROFILE_REFUSAL_FIXTURE_H
#define KP_PROFILE_REFUSAL_FIXTURE_H

#include "profile/profile_fixture.h"

// To be refused as invalid, with these words in the sentence. data has its exact size, so that ASan sees
// reads behind it.
typedef void (*fixture_refused_fn)(const char *what, const void *data, size_t len, const char *words);
// To be refused as too large.
typedef void (*fixture_limited_fn)(
    const struct kp_strbuf *b, struct kp_profile_limits limits, const char *words);

static const struct {
    const char *name, *words;
} fixture_odd_files[] = {
    {"bad-location.pb", "names location 99, which does not exist"},
    {"bad-string-index.pb", "but there are only"},
    {"bad-value-count.pb", "has 3 values, but there are 2 sample types"},
    {"broken-deflate.pb.gz", "gzip data is broken"},
    {"cut-raw.pb", "not a pprof profile"},
    {"cut.pb.gz", "gzip data is cut short"},
    {"double.pb.gz.gz", ""},
    {"duplicate-location.pb", "two locations have the id 1"},
    {"empty.bin", "there are no bytes"},
    {"json.json", ""},
    {"location-id-0.pb", "has the id 0"},
    {"missing-function.pb", "location 1 has a line in function"},
    {"no-sample-types.pb", "no sample types"},
    {"not-a-profile.txt", ""},
    {"trace.out", ""},
    {"two-members.pb.gz", "concatenated profiles"},
    {"two-raw.pb", "concatenated profiles"},
    {"wrong-crc.pb.gz", "incorrect data check"},
};

// Behind a profile of one sample.
static const struct {
    unsigned field;
    const char *bytes;
    size_t len;
    const char *words;
} fixture_bad_parts[] = {
    {2, "\x08", 1, "sample 2 is cut short"},
    {2, "\x08\x01", 2, "sample 2 has 0 values"},
    {2, "\x10\x01\x10\x01", 4, "sample 2 has 2 values"},
    {2, "\x0a\x01\x80", 3, "sample 2 is cut short"},
    {2, "\x10\x01\x1a\x04\x08\x03\x18\x01", 8, "label's key of sample 2 is string 3"},
    {2, "\x10\x01\x1a\x02\x10\x03", 6, "label's value of sample 2"},
    {2, "\x10\x01\x1a\x02\x20\x03", 6, "label's unit of sample 2"},
    {2, "\x10\x01\x18\x02", 4, "sample 2"},
    {2, "\x10\x01\x15\x01\x01\x01\x01", 7, "sample 2"},
    {3, "\x08\x01\x28\x63", 4, "of mapping 1 is string 99"},
    {3, "\x10\x01", 2, "mapping 1 has the id 0"},
    {3, "\x0a\x01\x01", 3, "id of mapping 1"},
    {4, "\x08\x02\x22\x02\x08\x05", 6, "location 2 has a line in function 5"},
    {4, "\x08\x02\x22\x00", 4, "location 2 has a line in function 0"},
    {4, "\x08\x02\x20\x01", 4, "field 4 of location 2"},
    {4, "\x08\x01", 2, "two locations have the id 1"},
    {5, "\x08\x02\x10\x03", 4, "of function 2 is string 3"},
    {5, "\x08\x02\x12\x00", 4, "field 2 of function 2 is not a number"},
    {5, "\x08\x01", 2, "two functions have the id 1"},
    {13, "\x03", 1, "a comment names string 3"},
    {11, "\x08\x03", 2, "period type"},
    {9, "x", 1, "time_nanos is not a number"},
    {14, "x", 1, "not a number"},
};

static inline void fixture_refuse(
    fixture_refused_fn refused, const char *what, const struct kp_strbuf *b, const char *words)
{
    kp_auto_free void *exact = kp_memdup(b->data, b->len);
    refused(what, exact, b->len, words);
}

static inline void fixture_each_odd_file(fixture_refused_fn refused)
{
    for (size_t i = 0; i < KP_COUNT(fixture_odd_files); i++) {
        kp_auto_free char *name = kp_asprintf("odd/%s", fixture_odd_files[i].name);
        size_t len;
        kp_auto_free char *data = fixture_file(name, &len);
        kp_auto_free void *exact = kp_memdup(data, len);
        refused(name, exact, len, fixture_odd_files[i].words);
    }
}

static inline void fixture_each_bad_part(fixture_refused_fn refused)
{
    for (size_t i = 0; i < KP_COUNT(fixture_bad_parts); i++) {
        const char *words = fixture_bad_parts[i].words;
        kp_auto_strbuf b;
        fixture_minimal(&b, 1, 1);
        fixture_bytes(&b, fixture_bad_parts[i].field, fixture_bad_parts[i].bytes, fixture_bad_parts[i].len);
        fixture_refuse(refused, words, &b, words);
    }
    const unsigned indices[] = {7, 8, 14, 15};
    for (size_t i = 0; i < KP_COUNT(indices); i++) {
        kp_auto_strbuf b;
        fixture_minimal(&b, 1, 1);
        fixture_number(&b, indices[i], 3);
        fixture_refuse(refused, "index", &b, "names string 3");
    }
    kp_auto_strbuf b;
    kp_strbuf_init(&b, 1000);
    fixture_bytes(&b, 6, "x", 1);
    fixture_refuse(refused, "strings", &b, "string_table[0] is not empty");
}

static inline void fixture_each_cut(fixture_refused_fn refused)
{
    kp_auto_strbuf b;
    fixture_minimal(&b, 1, 1);
    for (size_t len = 0; len < b.len; len++) {
        kp_auto_free void *exact = kp_memdup(b.data, len);
        refused("cut", exact, len, "");
    }
}

// Leaves in b what meets the caps.
static inline void fixture_each_cap(fixture_limited_fn limited, struct kp_strbuf *b)
{
    fixture_minimal(b, 1, 1);
    limited(b, (struct kp_profile_limits){.max_entities = 2}, "more than 2 strings");
    limited(b, (struct kp_profile_limits){.max_inflated_bytes = 10}, "at most 10 are allowed");
    MESSAGE(b, 2, 1, 1, 1, 1, 1, 1, 2, 7);
    limited(b, (struct kp_profile_limits){.max_depth = 2}, "sample 2 has more than 2 frames");
    kp_auto_strbuf m;
    kp_strbuf_init(&m, 1000);
    fixture_bytes(&m, 2, "\x05", 1);
    for (int i = 0; i < 4; i++)
        fixture_bytes(&m, 3, "\x08\x01\x10\x02", 4);
    fixture_bytes(b, 2, m.data, m.len);
    limited(b, (struct kp_profile_limits){.max_labels = 3}, "sample 3 has more than 3 labels");
}

#endif
