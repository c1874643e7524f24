// What a server may send: however it is cut, the same comes of it.
#include <stdlib.h>

#include "forward/frame_fixture.h"
#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t pieces[] = {1, 7};
    if (size > 100000)
        return 0;
    kp_auto_strbuf whole;
    kp_strbuf_init(&whole, 16 << 20);
    fixture_frames(&whole, data, size, SIZE_MAX);
    for (size_t i = 0; i < KP_COUNT(pieces); i++) {
        kp_auto_strbuf cut;
        kp_strbuf_init(&cut, 16 << 20);
        fixture_frames(&cut, data, size, pieces[i]);
        if (whole.len != cut.len || memcmp(whole.data, cut.data, whole.len) != 0)
            abort();
    }
    return 0;
}
