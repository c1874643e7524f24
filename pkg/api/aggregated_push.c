// A push through the API server: the bytes of a profile, not an object that describes one.
#include <string.h>
#include <strings.h>

#include "api/aggregated.h"
#include "api/state.h"
#include "base/text.h"
#include "base/banned.h"

#define BYTES "application/octet-stream"

// `kubectl create` and client libraries send objects.
static bool is_bytes(const struct kp_http_exchange *x)
{
    const char *type = kp_http_header(x, "Content-Type");
    size_t n = strlen(BYTES);
    return type && strncasecmp(type, BYTES, n) == 0 && (type[n] == '\0' || type[n] == ';' || type[n] == ' ');
}

void kp_api_agg_push(struct kp_http_exchange *x, void *user)
{
    if (!kp_agg_path_is_strict(kp_http_path(x)))
        kp_api_agg_nothing(x, NULL);
    else if (!is_bytes(x))
        kp_http_reply_status(x, 415, "UnsupportedMediaType",
            "a profile is not made from an object: use `kubectl pprof load FILE --service NAME`, or send its "
            "bytes "
            "as " BYTES);
    else if (kp_http_arg(x, "namespace"))
        kp_http_reply_status(
            x, 400, "Invalid", "the namespace stands in the path here; leave the parameter namespace out");
    else if (kp_http_arg(x, "dryRun"))
        kp_http_reply_status(x, 400, "Invalid", "a push cannot be tried without being done (dryRun)");
    else
        kp_api_post_profile(x, user);
}
