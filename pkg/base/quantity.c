#include "base/quantity.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "base/banned.h"

static const struct {
    const char *name;
    int64_t factor;
} suffixes[] = {
    {"Ki", 1ll << 10},
    {"Mi", 1ll << 20},
    {"Gi", 1ll << 30},
    {"Ti", 1ll << 40},
    {"Pi", 1ll << 50},
    {"k", 1000ll},
    {"M", 1000000ll},
    {"G", 1000000000ll},
    {"T", 1000000000000ll},
    {"P", 1000000000000000ll},
    {"", 1},
};

static bool factor_of(const char *suffix, int64_t *ret)
{
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        if (strcmp(suffix, suffixes[i].name) == 0) {
            *ret = suffixes[i].factor;
            return true;
        }
    }
    int64_t exponent;
    if ((suffix[0] != 'e' && suffix[0] != 'E') || kp_parse_int(suffix + 1, 0, 18, &exponent, NULL) != 0)
        return false;
    for (*ret = 1; exponent > 0; exponent--)
        *ret *= 10;
    return true;
}

int kp_quantity_parse(const char *text, int64_t *ret_value, struct kp_error *err)
{
    size_t digits = strspn(text, "0123456789");
    size_t fraction = text[digits] == '.' ? strspn(text + digits + 1, "0123456789") : 0;
    const char *suffix = text + digits + (fraction > 0 ? fraction + 1 : 0);
    int64_t factor, whole = 0, value;
    if (digits == 0 || digits > 18 || fraction > 9 || !factor_of(suffix, &factor))
        return kp_fail(
            err, KP_INVALID, "'%.40s' is not a quantity; write it like 16Mi, 500k or 1000000", text);
    for (size_t i = 0; i < digits; i++)
        whole = whole * 10 + (text[i] - '0');
    if (__builtin_mul_overflow(whole, factor, &value))
        return kp_fail(err, KP_INVALID, "quantity '%.40s' is too large", text);
    int64_t scale = 1, part = 0;
    for (size_t i = 0; i < fraction; i++) {
        part = part * 10 + (text[digits + 1 + i] - '0');
        scale *= 10;
    }
    // part < scale, so neither product overflows; what is left below one counts as one, as in Kubernetes
    int64_t rest = part * (factor / scale) + (part * (factor % scale) + scale - 1) / scale;
    if (__builtin_add_overflow(value, rest, &value))
        return kp_fail(err, KP_INVALID, "quantity '%.40s' is too large", text);
    *ret_value = value;
    return 0;
}

const char *kp_quantity_format(char out[KP_QUANTITY_TEXT], int64_t value)
{
    for (size_t i = 5; i-- > 0;) {
        if (value != 0 && value % suffixes[i].factor == 0) {
            snprintf(
                out, KP_QUANTITY_TEXT, "%lld%s", (long long)(value / suffixes[i].factor), suffixes[i].name);
            return out;
        }
    }
    snprintf(out, KP_QUANTITY_TEXT, "%lld", (long long)value);
    return out;
}

int kp_int_or_percent_parse(const char *text, struct kp_int_or_percent *ret, struct kp_error *err)
{
    size_t n = strlen(text);
    char number[16];
    bool percent = n > 0 && text[n - 1] == '%';
    int64_t value;
    if (n - (percent ? 1 : 0) >= sizeof number)
        return kp_fail(err, KP_INVALID, "'%.40s' is neither a number nor a percentage", text);
    memcpy(number, text, n);
    number[n - (percent ? 1 : 0)] = '\0';
    if (kp_parse_int(number, 0, percent ? 100 : INT32_MAX, &value, NULL) != 0)
        return kp_fail(
            err, KP_INVALID, "'%.40s' is neither a number nor a percentage from 0%% to 100%%", text);
    *ret = (struct kp_int_or_percent){.value = (int)value, .is_percent = percent};
    return 0;
}

int kp_int_or_percent_of(struct kp_int_or_percent v, int total)
{
    if (!v.is_percent)
        return v.value;
    return (int)(((int64_t)v.value * total + 99) / 100);
}
