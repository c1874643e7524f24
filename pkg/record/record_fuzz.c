// Any bytes as a capture frame and as a batch of target states: what decodes must survive encode and decode
// unchanged.
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "record/record.h"
#include "record/state.h"
#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void capture(const uint8_t *data, size_t size)
{
    struct kp_record a;
    const uint8_t *profile;
    size_t len;
    if (kp_capture_unframe(data, size, &a, &profile, &len, NULL) != 0)
        return;
    struct kp_error err = {0};
    (void)!kp_record_check(&a, &err);
    kp_auto_strbuf buf;
    kp_strbuf_init(&buf, 4 * KP_MIB);
    kp_capture_frame(&buf, &a, profile, len);
    struct kp_record b;
    // what decoded encodes to no more bytes than it had, except for numbers written in more groups than
    // needed
    if (!buf.overflow) {
        if (kp_capture_unframe(buf.data, buf.len, &b, &profile, &len, NULL) != 0 || !kp_record_equal(&a, &b))
            abort();
        kp_record_finish(&b);
    }
    kp_record_finish(&a);
}

static void states(const uint8_t *data, size_t size)
{
    struct kp_state_batch a;
    if (kp_state_batch_decode(data, size, &a, NULL) != 0)
        return;
    kp_auto_strbuf buf;
    kp_strbuf_init(&buf, 4 * KP_MIB);
    kp_state_batch_encode(&a, &buf);
    struct kp_state_batch b;
    if (kp_state_batch_decode(buf.data, buf.len, &b, NULL) != 0 || a.targets.n != b.targets.n)
        abort();
    kp_state_batch_finish(&a);
    kp_state_batch_finish(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    capture(data, size);
    states(data, size);
    return 0;
}
