#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kp_auto_free char *text = kp_strndup((const char *)data, size);
    char out[KP_TIME_TEXT];
    int64_t ms, back;
    if (kp_time_parse(text, &ms, NULL) == 0 && ms >= -62167219200000 && ms <= 253402300799999) {
        if (kp_time_parse(kp_time_format_micro(out, ms), &back, NULL) != 0 || back != ms)
            abort();
        if (kp_time_parse(kp_time_format(out, ms), &back, NULL) != 0 || back > ms || ms - back > 999)
            abort();
    }
    if (kp_time_parse_relative(text, 1795525200000, &ms, NULL) == 0)
        kp_time_format(out, ms);
    if (size >= sizeof ms) {
        memcpy(&ms, data, sizeof ms);
        if (strlen(kp_time_format_micro(out, ms)) >= sizeof out)
            abort();
    }
    return 0;
}
