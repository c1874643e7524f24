// Any bytes as a legacy profile: no crash, caps hold, and what was read survives encoding.
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "profile/digest.h"
#include "profile/legacy.h"
#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define expect(what)                                                                                         \
    do {                                                                                                     \
        if (!(what)) {                                                                                       \
            fprintf(stderr, "line %d: not so: %s\n", __LINE__, #what);                                       \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct kp_profile_limits limits = {.max_entities = 1000, .max_depth = 200};
    struct kp_error err = {0};
    kp_auto_profile *p = NULL;
    int rc = kp_profile_decode_legacy(data, size, &limits, &p, &err);
    expect(rc == err.code && (rc == 0) == (p != NULL));
    expect(rc == 0 || rc == KP_NOT_FOUND || rc == KP_INVALID || rc == KP_LIMIT);
    if (p == NULL)
        return 0;
    kp_auto_strbuf out;
    kp_strbuf_init(&out, 16 << 20);
    kp_profile_encode(p, 0, &out);
    expect(!out.overflow);
    kp_auto_profile *q = NULL;
    expect(kp_profile_decode(out.data, out.len, &limits, &q, NULL) == 0);
    expect(kp_digest_equal(kp_profile_digest(p), kp_profile_digest(q)));
    return 0;
}
