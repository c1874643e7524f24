// Any bytes as a profile: no crash, bounded memory, and the verdict on gzip and on its inflated bytes must
// agree.
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "profile/check.h"
#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct kp_profile_limits limits = {.max_inflated_bytes = 16 << 20, .max_entities = 100000};
    struct kp_profile_summary summary;
    struct kp_error err = {0};
    enum kp_profile_verdict verdict = kp_profile_check(data, size, &limits, &summary, &err);
    if ((verdict == KP_PROFILE_VALID) != (err.code == 0))
        abort(); // every other verdict comes with its sentence
    kp_profile_sniff(data, size);
    uint8_t *raw;
    size_t len;
    if (kp_profile_inflate(data, size, &limits, &raw, &len, NULL) == 0) {
        bool nested = len >= 2 && raw[0] == 0x1f && raw[1] == 0x8b;
        if (!nested && kp_profile_check(raw, len, &limits, NULL, NULL) != verdict)
            abort();
        kp_free(raw);
    }
    return 0;
}
