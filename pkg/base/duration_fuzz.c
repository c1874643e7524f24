#include "base/duration.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kp_auto_free char *text = kp_strndup((const char *)data, size);
    char out[KP_DURATION_TEXT];
    int64_t ms, back;
    if (kp_duration_parse(text, &ms, NULL) == 0) {
        if (ms < 0 || strlen(text) > 4 * 7)
            abort();
        kp_duration_format(out, ms);
        // up to the five digits that a part may have
        if (ms < 100000ll * 3600000 && (kp_duration_parse(out, &back, NULL) != 0 || back != ms))
            abort();
    }
    if (kp_duration_parse_days(text, &ms, NULL) == 0) {
        if (ms < 0 || strlen(text) > 4 * 7)
            abort();
        if (kp_duration_parse(text, &back, NULL) == 0 && back != ms)
            abort();
    }
    if (size >= sizeof ms) {
        memcpy(&ms, data, sizeof ms);
        if (strlen(kp_duration_format(out, ms)) >= sizeof out)
            abort();
    }
    return 0;
}
