// What the two halves of decoding share: decode.c walks the profile and its samples, decode_symbols.c the
// mappings, functions and locations. Private to this module.
#ifndef KP_PROFILE_DECODE_PRIVATE_H
#define KP_PROFILE_DECODE_PRIVATE_H

#include "base/array.h"
#include "profile/idmap.h"
#include "profile/profile.h"
#include "profile/quick.h"

// A message on the top level.
struct kp_decode_field {
    uint32_t at, len;
};

struct kp_decoder {
    const uint8_t *data;
    size_t len;
    size_t max_entities, max_depth, max_labels;
    size_t max_frames, max_details; // in all: of samples; labels of samples, lines of locations
    struct kp_profile *p;
    uint32_t n_samples, n_mappings, n_locations, n_functions, n_strings, n_types;
    uint32_t last_string; // that any single field named
    struct kp_idmap mappings, locations, functions;
    bool sparse; // ids are not 1..n
    KP_ARRAY(uint32_t) frames;
    KP_ARRAY(struct kp_sample_label) labels;
    KP_ARRAY(struct kp_line) lines;
    KP_ARRAY(uint32_t) comments;
    struct kp_decode_list {
        struct kp_decode_field *items;
        size_t n, cap;
    } lists[PROFILE_MAX_FIELD + 1]; // by kind
};

enum kp_decode_step { KP_DECODE_OK, KP_DECODE_BROKEN, KP_DECODE_TOO_LARGE, KP_DECODE_SPARSE };

// Of a message: by value, so that it stays in registers.
struct kp_bytes {
    const uint8_t *p, *end;
};

static inline struct kp_bytes kp_bytes_of(const struct kp_proto *f)
{
    return (struct kp_bytes){f->data, f->data + f->len};
}

static inline struct kp_bytes kp_decode_bytes(const struct kp_decoder *d, unsigned kind, uint32_t i)
{
    const uint8_t *p = d->data + d->lists[kind].items[i].at;
    return (struct kp_bytes){p, p + d->lists[kind].items[i].len};
}

// Told at once, not when a sample or a location is over: it may be as long as the profile.
static inline enum kp_decode_step kp_decode_room(size_t n, uint32_t first, size_t max_own, size_t max_all)
{
    return n - first > max_own || n > max_all ? KP_DECODE_TOO_LARGE : KP_DECODE_OK;
}

// Makes room behind what is there; the items, never NULL.
#define kp_decode_room_for(array, more)                                                                      \
    ((array)->cap - (array)->n <= (more)                                                                     \
            ? ((array)->cap += (array)->cap / 2 + (more) + 8,                                                \
                  (array)->items = kp_grow((array)->items, (array)->cap, sizeof *(array)->items))            \
            : (array)->items)

enum kp_decode_step kp_decode_mappings(struct kp_decoder *d);
enum kp_decode_step kp_decode_functions(struct kp_decoder *d);
enum kp_decode_step kp_decode_locations(struct kp_decoder *d);

#endif
