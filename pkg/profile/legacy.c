#include "profile/legacy.h"

#include "base/banned.h"

int kp_profile_decode_legacy(const void *data, size_t len, const struct kp_profile_limits *limits,
    struct kp_profile **ret, struct kp_error *err)
{
    (void)data;
    (void)len;
    (void)limits;
    (void)ret;
    return kp_fail(err, KP_NOT_FOUND, "not a legacy profile");
}
