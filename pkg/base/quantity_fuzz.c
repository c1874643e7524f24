#include "base/quantity.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kp_auto_free char *text = kp_strndup((const char *)data, size);
    char out[KP_QUANTITY_TEXT];
    int64_t value, back;
    struct kp_int_or_percent share;
    if (kp_quantity_parse(text, &value, NULL) == 0) {
        if (value < 0)
            abort();
        // 19 digits are written, 18 are read
        if (value < 1000000000000000000 &&
            (kp_quantity_parse(kp_quantity_format(out, value), &back, NULL) != 0 || back != value))
            abort();
    }
    if (kp_int_or_percent_parse(text, &share, NULL) == 0 && kp_int_or_percent_of(share, 2147483647) < 0)
        abort();
    return 0;
}
