// Bytes that ought to be ours: reading ends, stays within, and what was read can be written again.
#include "base/wire.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kp_wire w, again;
    kp_auto_strbuf out;
    kp_strbuf_init(&out, 8u << 20);
    kp_wire_start(&w, data, size);
    size_t n = 0;
    for (; kp_wire_next(&w); n++) {
        kp_free(kp_wire_strdup(&w));
        if (w.is_bytes)
            kp_wire_put_bytes(&out, w.number, w.data, w.len);
        else
            kp_wire_put_int(&out, w.number, kp_wire_int(&w));
    }
    kp_wire_start(&again, out.data, out.len);
    kp_wire_start(&w, data, size);
    for (; n > 0; n--) {
        if (!kp_wire_next(&w) || !kp_wire_next(&again) || w.number != again.number ||
            w.is_bytes != again.is_bytes || w.value != again.value ||
            (w.is_bytes && memcmp(w.data, again.data, w.len) != 0))
            abort();
    }
    if (kp_wire_next(&again) || again.bad)
        abort();
    return 0;
}
