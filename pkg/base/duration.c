#include "base/duration.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

#define MAX_PARTS  4
#define MAX_DIGITS 5
#define DAY_MS     INT64_C(86400000)

static const struct {
    const char *name;
    int64_t ms;
} units[] = {{"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}, {"d", DAY_MS}, {"w", 7 * DAY_MS}};

enum { MILLISECONDS = 3, WITHOUT_DAYS = 4, WITH_DAYS = 6 }; // of units

// The unit at text, longest name first so that "ms" is not "m".
static int unit_at(const char *text, int n_units)
{
    if (strncmp(text, "ms", 2) == 0)
        return MILLISECONDS;
    for (int i = 0; i < n_units; i++)
        if (i != MILLISECONDS && text[0] == units[i].name[0])
            return i;
    return -1;
}

static int parse(const char *text, int n_units, int64_t *ret_ms, struct kp_error *err)
{
    const char *p = text;
    int64_t total = 0;
    int parts = 0;
    if (*p == '\0')
        return kp_fail(err, KP_INVALID, "a duration is missing; write it like 90s or 1h30m");
    while (*p != '\0') {
        int64_t number = 0;
        int digits = 0;
        for (; *p >= '0' && *p <= '9'; p++, digits++) {
            if (digits == MAX_DIGITS)
                return kp_fail(err, KP_INVALID, "duration '%.40s' has a number of more than %d digits", text,
                    MAX_DIGITS);
            number = number * 10 + (*p - '0');
        }
        int unit = unit_at(p, n_units);
        if (digits == 0 || unit < 0)
            return kp_fail(err, KP_INVALID,
                "'%.40s' is not a duration; write it like 90s or 1h30m (units %sh, m, s, ms)", text,
                n_units == WITH_DAYS ? "w, d, " : "");
        if (++parts > MAX_PARTS)
            return kp_fail(err, KP_INVALID, "duration '%.40s' has more than %d parts", text, MAX_PARTS);
        total += number * units[unit].ms;
        p += strlen(units[unit].name);
    }
    *ret_ms = total;
    return 0;
}

int kp_duration_parse(const char *text, int64_t *ret_ms, struct kp_error *err)
{
    return parse(text, WITHOUT_DAYS, ret_ms, err);
}

int kp_duration_parse_days(const char *text, int64_t *ret_ms, struct kp_error *err)
{
    return parse(text, WITH_DAYS, ret_ms, err);
}

const char *kp_duration_format(char out[KP_DURATION_TEXT], int64_t ms)
{
    size_t n = 0;
    uint64_t rest = ms < 0 ? -(uint64_t)ms : (uint64_t)ms;
    if (ms < 0)
        out[n++] = '-';
    if (ms == 0)
        snprintf(out, KP_DURATION_TEXT, "0s");
    for (size_t i = 0; i < WITHOUT_DAYS && rest > 0; i++) {
        uint64_t count = rest / (uint64_t)units[i].ms;
        if (count == 0)
            continue;
        rest -= count * (uint64_t)units[i].ms;
        n += (size_t)snprintf(
            out + n, KP_DURATION_TEXT - n, "%llu%s", (unsigned long long)count, units[i].name);
    }
    return out;
}
