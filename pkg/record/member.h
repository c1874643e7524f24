// Tables of struct members: one row per member drives encode, decode, copy, free and equality of the structs
// that travel. Private to this module.
#ifndef KP_RECORD_MEMBER_H
#define KP_RECORD_MEMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/strbuf.h"
#include "base/wire.h"

enum kp_member_kind {
    KP_MEMBER_STR,
    KP_MEMBER_I64,
    KP_MEMBER_U64,
    KP_MEMBER_U32,
    KP_MEMBER_BOOL,
    KP_MEMBER_OUTCOME
};

struct kp_member {
    uint32_t number; // on the wire: never reused
    enum kp_member_kind kind;
    size_t offset;
    size_t max_len; // of a string; longer is refused
    const char *name;
};

// clang-format off
#define KP_MEMBER(type, number, kind, member, max) {(number), (kind), offsetof(type, member), (max), #member}
// clang-format on

// NULL strings and zero numbers are left out.
void kp_members_encode(const struct kp_member *rows, size_t n, const void *object, struct kp_strbuf *out);
// Takes the field in hand if a row has its number: *ret_known. A string that comes twice: the last one
// counts.
KP_MUST_CHECK int kp_members_take(const struct kp_member *rows, size_t n, const struct kp_wire *w,
    void *object, bool *ret_known, struct kp_error *err);
void kp_members_free(const struct kp_member *rows, size_t n, void *object); // strings; leaves NULLs
void kp_members_copy(const struct kp_member *rows, size_t n, void *to, const void *from);
bool kp_members_equal(const struct kp_member *rows, size_t n, const void *a, const void *b);

// The string member of a row; NULL if it is not a string.
const char *kp_member_string(const struct kp_member *row, const void *object);

#endif
