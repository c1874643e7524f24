#include "base/blob.h"

#include "base/alloc.h"
#include "base/banned.h"

struct kp_blob *kp_blob_take(void *data, size_t len)
{
    struct kp_blob *blob = KP_NEW(struct kp_blob);
    blob->data = data;
    blob->len = len;
    blob->refs = 1;
    return blob;
}

struct kp_blob *kp_blob_copy(const void *data, size_t len)
{
    return kp_blob_take(kp_memdup(data, len), len);
}

struct kp_blob *kp_blob_ref(struct kp_blob *blob)
{
    if (blob != NULL)
        __atomic_add_fetch(&blob->refs, 1, __ATOMIC_RELAXED);
    return blob;
}

void kp_blob_unref(struct kp_blob *blob)
{
    if (blob == NULL || __atomic_sub_fetch(&blob->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    kp_free((void *)(uintptr_t)blob->data);
    kp_free(blob);
}
