#include "profile/check.h"

#include "profile/inflate.h"
#include "profile/proto.h"
#include "base/banned.h"

// Wire types a field of profile.proto may have, as a bit set; 0 = no such field.
static unsigned types_of(uint64_t field)
{
    const unsigned varint = 1U << KP_PROTO_VARINT;
    const unsigned bytes = 1U << KP_PROTO_BYTES;
    if (field == PROFILE_COMMENT)
        return varint | bytes;
    if ((field >= PROFILE_SAMPLE_TYPE && field <= PROFILE_STRING_TABLE) || field == PROFILE_PERIOD_TYPE)
        return bytes;
    return field >= 1 && field <= PROFILE_MAX_FIELD ? varint : 0;
}

// The first byte of a nested message is a tag of a small field number: ASCII text seldom is.
static bool nested_looks_right(uint64_t field, uint8_t first)
{
    if (field == PROFILE_STRING_TABLE || field == PROFILE_COMMENT)
        return true;
    unsigned type = first & 7;
    unsigned number = first >> 3;
    if (field == PROFILE_SAMPLE_TYPE || field == PROFILE_PERIOD_TYPE)
        return type == KP_PROTO_VARINT && (number == 1 || number == 2);
    return (type == KP_PROTO_VARINT || type == KP_PROTO_BYTES) && number >= 1 && number <= 10;
}

bool kp_profile_sniff(const void *data, size_t len)
{
    if (kp_profile_is_gzip(data, len))
        return true;
    const uint8_t *p = data;
    const uint8_t *end = p + len;
    for (int n = 0; p < end; n++) {
        uint64_t tag;
        uint64_t value;
        if (!kp_proto_varint(&p, end, &tag))
            return n > 0 && end - p < 10; // only the first bytes are here: cut within a field
        unsigned types = types_of(tag >> 3);
        bool unknown = types == 0 && n > 0 && tag >> 3 <= 1000 && (tag & 7) <= KP_PROTO_BYTES;
        if (!unknown && (types >> (tag & 7) & 1) == 0)
            return false;
        if ((tag & 7) == KP_PROTO_FIXED64) {
            p += end - p < 8 ? end - p : 8;
            continue;
        }
        if (!kp_proto_varint(&p, end, &value))
            return end - p < 10;
        if ((tag & 7) != KP_PROTO_BYTES)
            continue;
        if (value > 0 && p < end && !unknown && !nested_looks_right(tag >> 3, *p))
            return false;
        if (value >= (uint64_t)(end - p))
            return true;
        p += value;
    }
    return len > 0;
}
