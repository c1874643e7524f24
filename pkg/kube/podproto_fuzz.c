#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "kube/reflector.h"
#include "record/pod.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Two readings of one message give the same pod.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char key[512];
    char rv[64];
    struct kp_pod *a = kp_decode_pod_protobuf(NULL, (const char *)data, size, key, rv, NULL);
    struct kp_pod *b = kp_decode_pod_protobuf(NULL, (const char *)data, size, key, rv, NULL);
    if ((a == NULL) != (b == NULL) || (a && !kp_pod_same(a, b)))
        abort();
    kp_pod_unref(a);
    kp_pod_unref(b);
    return 0;
}
