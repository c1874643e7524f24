// Immutable bytes shared by reference count (atomic: blobs travel to jobs and back).
#ifndef KP_BASE_BLOB_H
#define KP_BASE_BLOB_H

#include <stddef.h>
#include <stdint.h>

struct kp_blob {
    const uint8_t *data;
    size_t len;
    // private
    int refs;
};

struct kp_blob *kp_blob_copy(const void *data, size_t len);
// Takes a kp_alloc'ed buffer over.
struct kp_blob *kp_blob_take(void *data, size_t len);
struct kp_blob *kp_blob_ref(struct kp_blob *blob);
void kp_blob_unref(struct kp_blob *blob); // NULL is fine

#endif
