#include "report/unit.h"

#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "report/report.h"
#include "base/banned.h"

struct unit {
    const char *name;
    const char *aliases[4];
    double factor;
};

struct family {
    struct unit units[9];
    const char *base; // where nothing fits
    double base_factor;
};

// measurement.go of github.com/google/pprof, which people know the output of
static const struct family families[] = {
    {{{"B", {"b", "byte"}, 1}, {"kB", {"kb", "kbyte", "kilobyte"}, 0x1p10},
         {"MB", {"mb", "mbyte", "megabyte"}, 0x1p20}, {"GB", {"gb", "gbyte", "gigabyte"}, 0x1p30},
         {"TB", {"tb", "tbyte", "terabyte"}, 0x1p40}, {"PB", {"pb", "pbyte", "petabyte"}, 0x1p50}},
        "B", 1},
    {{{"ns", {"ns", "nanosecond"}, 1}, {"us", {"\xce\xbcs", "us", "microsecond"}, 1e3},
         {"ms", {"ms", "millisecond"}, 1e6}, {"s", {"s", "sec", "second"}, 1e9},
         {"hrs", {"hour", "hr"}, 3600e9}},
        "s", 1e9},
    {{{"n*GCU", {"nanogcu"}, 1e-9}, {"u*GCU", {"microgcu"}, 1e-6}, {"m*GCU", {"milligcu"}, 1e-3},
         {"GCU", {"gcu"}, 1}, {"k*GCU", {"kilogcu"}, 1e3}, {"M*GCU", {"megagcu"}, 1e6},
         {"G*GCU", {"gigagcu"}, 1e9}, {"T*GCU", {"teragcu"}, 1e12}, {"P*GCU", {"petagcu"}, 1e15}},
        "GCU", 1},
};

#define MAX_UNITS KP_COUNT(families[0].units)

static const struct unit *find(const struct family *family, const char *text)
{
    char name[24];
    size_t n = strlen(text);
    if (n >= sizeof name)
        return NULL;
    for (size_t i = 0; i <= n; i++)
        name[i] = (char)tolower((unsigned char)text[i]);
    if (n > 2 && name[n - 1] == 's')
        name[n - 1] = '\0';
    for (size_t i = 0; i < MAX_UNITS && family->units[i].name; i++)
        for (size_t k = 0; k < KP_COUNT(family->units[i].aliases) && family->units[i].aliases[k]; k++)
            if (kp_streq(family->units[i].aliases[k], name))
                return &family->units[i];
    return NULL;
}

static double scale_in(const struct family *family, double v, const char *to, const char **ret_unit)
{
    const struct unit *unit = NULL;
    if (kp_streq(to, "auto") || kp_streq(to, "minimum")) {
        for (size_t i = 0; i < MAX_UNITS && family->units[i].name; i++)
            if (v / family->units[i].factor >= 1)
                unit = &family->units[i];
    } else {
        unit = find(family, to);
    }
    *ret_unit = unit ? unit->name : family->base;
    return v / (unit ? unit->factor : family->base_factor);
}

double kp_unit_scale(int64_t value, const char *from, const char *to, const char **ret_unit)
{
    static const char *const plain[] = {"count", "sample", "unit", "minimum", "auto"};
    double sign = value < 0 ? -1 : 1;
    double v = fabs((double)value);
    for (size_t i = 0; i < KP_COUNT(families); i++) {
        const struct unit *unit = find(&families[i], from);
        if (unit)
            return sign * scale_in(&families[i], v * unit->factor, to, ret_unit);
    }
    *ret_unit = to;
    for (size_t i = 0; i < KP_COUNT(plain); i++)
        if (kp_streq(to, plain[i]))
            *ret_unit = "";
    return sign * v;
}

const char *kp_unit_text(int64_t value, const char *from, const char *to, char out[KP_VALUE_TEXT])
{
    const char *unit;
    double v = kp_unit_scale(value, from, to, &unit);
    int n = snprintf(out, KP_VALUE_TEXT, "%.2f", v);
    if (n > 3 && kp_streq(out + n - 3, ".00"))
        out[n -= 3] = '\0';
    if (kp_streq(out, "0") || kp_streq(out, "-0"))
        return kp_copy(out, KP_VALUE_TEXT, "0"), out;
    kp_copy(out + n, KP_VALUE_TEXT - (size_t)n, unit);
    return out;
}

void kp_report_value(int64_t value, const char *unit, char *out, size_t size)
{
    char text[KP_VALUE_TEXT];
    kp_copy(out, size, kp_unit_text(value, unit, "auto", text));
}

const char *kp_unit_percent(int64_t value, int64_t total, char out[KP_VALUE_TEXT])
{
    double ratio = total != 0 ? fabs((double)value / (double)total) * 100 : 0;
    if (ratio >= 99.95 && ratio <= 100.05)
        kp_copy(out, KP_VALUE_TEXT, "  100%");
    else
        ratio >= 1 ? snprintf(out, KP_VALUE_TEXT, "%5.2f%%", ratio)
                   : snprintf(out, KP_VALUE_TEXT, "%5.2g%%", ratio);
    return out;
}

int64_t kp_magnitude(int64_t value)
{
    if (value == INT64_MIN)
        return INT64_MAX;
    return value < 0 ? -value : value;
}

int64_t kp_add_capped(int64_t a, int64_t b)
{
    int64_t sum;
    if (__builtin_add_overflow(a, b, &sum))
        return a < 0 ? INT64_MIN : INT64_MAX;
    return sum;
}

int64_t kp_sub_capped(int64_t a, int64_t b)
{
    int64_t difference;
    if (__builtin_sub_overflow(a, b, &difference))
        return a < 0 ? INT64_MIN : INT64_MAX;
    return difference;
}

int64_t kp_scale_rounded(int64_t value, double factor)
{
    double v = round((double)value * factor);
    if (v >= 0x1p63)
        return INT64_MAX;
    return v <= -0x1p63 ? INT64_MIN : (int64_t)v;
}
