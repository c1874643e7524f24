// Kubernetes quantities as whole numbers: "16Mi", "1.5Gi", "100M", "1e3", "500". Suffixes Ki Mi Gi Ti Pi,
// k M G T P; fractions of one round up.
#ifndef KP_BASE_QUANTITY_H
#define KP_BASE_QUANTITY_H

#include <stdint.h>

#include "base/error.h"

KP_MUST_CHECK int kp_quantity_parse(const char *text, int64_t *ret_value, struct kp_error *err);
#define KP_QUANTITY_TEXT 24
const char *kp_quantity_format(char out[KP_QUANTITY_TEXT], int64_t value); // binary suffix where exact

// A number of things that is given as such or as a share: 3 or "25%" (Kubernetes IntOrString).
struct kp_int_or_percent {
    int value; // the number, or the percentage 0-100
    bool is_percent;
};
KP_MUST_CHECK int kp_int_or_percent_parse(
    const char *text, struct kp_int_or_percent *ret, struct kp_error *err);
// Of a total; percentages round up.
int kp_int_or_percent_of(struct kp_int_or_percent v, int total);

#endif
