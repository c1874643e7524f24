#include "report/by.h"

#include "base/alloc.h"
#include "base/text.h"
#include "base/banned.h"

static const char *const names[] = {
    [KP_BY_FUNCTION] = "function",
    [KP_BY_LINE] = "line",
    [KP_BY_FILE] = "file",
    [KP_BY_PACKAGE] = "package",
    [KP_BY_LABEL] = "label",
};

const char *kp_report_by_name(enum kp_report_by by)
{
    return names[by];
}

bool kp_report_by_parse(const char *text, enum kp_report_by *ret, const char **ret_label)
{
    if (kp_starts_with(text, "label=") && text[6] != '\0') {
        *ret = KP_BY_LABEL;
        *ret_label = text + 6;
        return true;
    }
    for (size_t i = 0; i < KP_BY_LABEL; i++)
        if (kp_streq(text, names[i])) {
            *ret = (enum kp_report_by)i;
            *ret_label = NULL;
            return true;
        }
    return false;
}
