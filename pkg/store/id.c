#include "store/id.h"

#include <string.h>

#include "base/banned.h"

static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";

enum { TIME_DIGITS = 10, SERIES_DIGITS = 7, NUMBER_DIGITS = 8 };

static void put(char *out, int n, uint64_t v)
{
    for (int i = n - 1; i >= 0; i--, v >>= 5)
        out[i] = digits[v & 31];
}

static bool get(const char *in, int n, uint64_t *ret)
{
    uint64_t v = 0;
    for (int i = 0; i < n; i++) {
        const char *d = in[i] ? strchr(digits, in[i]) : NULL;
        if (d == NULL)
            return false;
        v = v << 5 | (uint64_t)(d - digits);
    }
    *ret = v;
    return true;
}

const char *kp_id_format(char out[KP_ID_TEXT], const struct kp_id *id)
{
    put(out, TIME_DIGITS, (uint64_t)id->start_ms);
    put(out + TIME_DIGITS, SERIES_DIGITS, id->series);
    put(out + TIME_DIGITS + SERIES_DIGITS, NUMBER_DIGITS, id->number);
    out[KP_ID_TEXT - 1] = '\0';
    return out;
}

bool kp_id_parse(const char *text, struct kp_id *ret)
{
    uint64_t time;
    uint64_t series;
    uint64_t number;
    if (strlen(text) != KP_ID_TEXT - 1 || !get(text, TIME_DIGITS, &time) ||
        !get(text + TIME_DIGITS, SERIES_DIGITS, &series) ||
        !get(text + TIME_DIGITS + SERIES_DIGITS, NUMBER_DIGITS, &number) || series > UINT32_MAX)
        return false;
    *ret = (struct kp_id){.start_ms = (int64_t)time, .series = (uint32_t)series, .number = number};
    return true;
}
