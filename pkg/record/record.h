// The description of a capture: everything nobody can reconstruct later. It travels with the bytes from the
// controller over the spool to the registry, and lies before them in the registry's log. One field table
// (record.c) drives encode, decode, JSON-free printing and equality.
#ifndef KP_RECORD_RECORD_H
#define KP_RECORD_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/labels.h"
#include "base/strbuf.h"

struct kp_record {
    // what
    char *service, *type; // "checkout", "cpu"
    char *format;         // "pprof" | "trace" | "text" (opaque ones are stored unread)
    // where from: system fields, stamped from what the API server says; a push leaves them NULL
    char *namespace, *pod, *pod_uid, *container, *container_id, *node;
    char *workload_kind, *workload_name, *revision, *version;
    char *image, *image_digest, *architecture;
    char *path;
    uint32_t port, restarts;
    int64_t container_started_ms;
    // when (wall clock of the controller)
    int64_t slot_ms, start_ms, end_ms;
    // how it was asked for
    int64_t interval_ms, duration_ms;
    uint32_t sample_k, sample_n; // k of n pods
    char *policies;              // "ns/name,ns/name"; a cluster policy is "/name"
    int64_t retention_ms;        // 0 = the registry's default
    struct kp_labels *labels;    // asked for by the user; never NULL after decode
    // idempotency: see key.h; NULL for pushes
    char *key;
    // set by the registry
    int64_t received_ms;
    char *id;
    uint64_t size_bytes;
};

void kp_record_init(struct kp_record *record);
void kp_record_finish(struct kp_record *record); // frees every string
void kp_record_copy(
    struct kp_record *to, const struct kp_record *from); // to is overwritten, not finished first
bool kp_record_equal(
    const struct kp_record *a, const struct kp_record *b); // no labels and an empty set are equal

void kp_record_encode(const struct kp_record *record, struct kp_strbuf *out);
// Refuses (KP_CORRUPT) truncated input and fields past base/limits.h.
KP_MUST_CHECK int kp_record_decode(const void *data, size_t len, struct kp_record *ret, struct kp_error *err);
// Checks what an outside writer sent: names, lengths, label keys, times that make sense. KP_INVALID with a
// sentence.
KP_MUST_CHECK int kp_record_check(const struct kp_record *record, struct kp_error *err);

// ---- the capture key: (pod uid, container, port, path, type, slot start); no policy in it ----
#define KP_CAPTURE_KEY_TEXT 33 // 32 hex digits
void kp_capture_key(char out[KP_CAPTURE_KEY_TEXT], const char *pod_uid, const char *container, uint32_t port,
    const char *path, const char *type, int64_t slot_ms);

// ---- a capture on the wire and in the spool: u32 little-endian length of the record, the record, the
// profile ----
#define KP_CAPTURE_MEDIA_TYPE "application/vnd.kube-pprof.capture"
void kp_capture_frame(struct kp_strbuf *out, const struct kp_record *record, const void *profile, size_t len);
// ret_profile points into data.
KP_MUST_CHECK int kp_capture_unframe(const void *data, size_t len, struct kp_record *ret_record,
    const uint8_t **ret_profile, size_t *ret_len, struct kp_error *err);

#endif
