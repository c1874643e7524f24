// Ids of profiles: time, series and number, so that they lead to the profile wherever it lies and never
// change. 25 characters of Crockford's base 32 in lower case; sorted as text they are sorted by time. Private
// to this module.
#ifndef KP_STORE_ID_H
#define KP_STORE_ID_H

#include <stdbool.h>
#include <stdint.h>

#define KP_ID_TEXT 26

struct kp_id {
    int64_t start_ms; // 0 .. 2^50
    uint32_t series;
    uint64_t number; // below 2^40
};

const char *kp_id_format(char out[KP_ID_TEXT], const struct kp_id *id);
bool kp_id_parse(const char *text, struct kp_id *ret); // exactly what format makes

#endif
