// A pull scanner over one JSON text in memory: takes the few fields somebody wants and steps over the rest at
// memory speed, without a tree. It is no validator: what is stepped over only has to balance. After the first
// wrong byte `bad` is set, every loop ends and values read as empty: check it once at the end. Internal to
// kube.
#ifndef KP_KUBE_SCAN_H
#define KP_KUBE_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KP_SCAN_MAX_DEPTH 512

struct kp_scan_block;

struct kp_scan {
    const char *p, *end;
    const char *bad_why; // NULL = fine
    int depth;
    // private: where decoded strings live
    char *text;
    size_t room;
    struct kp_scan_block *blocks;
    char first[4096];
};

struct kp_span {
    const char *p;
    size_t len;
};

void kp_scan_init(struct kp_scan *s, const char *json, size_t len);
void kp_scan_finish(struct kp_scan *s); // frees the strings

// Steps into the object ('{') or array ('[') that comes next; anything else is stepped over and gives false.
bool kp_scan_enter(struct kp_scan *s, char open);
// The next key of the object we are in; its value comes next. false at the end, having left it.
bool kp_scan_key(struct kp_scan *s, struct kp_span *ret_key);
// Whether another element comes in the array we are in. false at the end, having left it.
bool kp_scan_item(struct kp_scan *s);

// The value that comes next, as what it should be; another type is stepped over and gives "", 0, false.
// Strings live until finish; NULs and lone surrogates in them become U+FFFD.
const char *kp_scan_string(struct kp_scan *s);
int64_t kp_scan_int(struct kp_scan *s); // cut to the range of int64_t; fractions are dropped
bool kp_scan_bool(struct kp_scan *s);
bool kp_scan_is_null(struct kp_scan *s); // looks only
void kp_scan_skip(struct kp_scan *s);
// Its JSON text.
struct kp_span kp_scan_raw(struct kp_scan *s);
// A key as a string of its own.
const char *kp_scan_keep(struct kp_scan *s, struct kp_span key);

static inline bool kp_span_is(struct kp_span span, const char *text)
{
    size_t n = __builtin_strlen(text);
    return span.len == n && __builtin_memcmp(span.p, text, n) == 0;
}

#endif
