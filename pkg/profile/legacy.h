// The forms from before profile.proto: texts of /debug/pprof/X?debug=1, gperftools' texts and binary CPU
// profile, and Java's of both, as google/pprof reads them (profile/legacy_profile.go,
// legacy_java_profile.go). Pure; safe on any bytes.
#ifndef KP_PROFILE_LEGACY_H
#define KP_PROFILE_LEGACY_H

#include "profile/profile.h"

// data is inflated already. KP_NOT_FOUND: it is none of these forms.
KP_MUST_CHECK int kp_profile_decode_legacy(const void *data, size_t len,
    const struct kp_profile_limits *limits, struct kp_profile **ret, struct kp_error *err);

// A second opinion on what is no protobuf, err saying why: if it is one of these forms, its summary with err
// cleared, or what is wrong with it; else err stays and its code is returned.
KP_MUST_CHECK int kp_profile_check_legacy(const void *data, size_t len,
    const struct kp_profile_limits *limits, struct kp_profile_summary *ret, struct kp_error *err);

#endif
