// What an audit is told of a request.
#include <stdio.h>
#include <string.h>

#include "api/admit.h"
#include "api/admit_private.h"
#include "api/api.h"
#include "base/text.h"
#include "serve/serve.h"
#include "base/banned.h"

static bool shows_something(const struct kp_admission *row)
{
    switch (row->where) {
    case KP_ADMIT_NOBODY:
    case KP_ADMIT_OPEN:
    case KP_ADMIT_KNOWN:
        return false;
    case KP_ADMIT_PATH:
    case KP_ADMIT_QUERY:
    case KP_ADMIT_SERVICE:
    case KP_ADMIT_ID:
    case KP_ADMIT_PUSH:
    case KP_ADMIT_SELF:
        break;
    }
    return true;
}

bool kp_api_describe(const struct kp_http_exchange *x, struct kp_api_described *ret)
{
    const struct kp_http_route *route = kp_http_matched_route(x);
    const struct kp_admission *row = route && !kp_serve_is_open(x) ? kp_api_admission(route) : NULL;
    if (row == NULL || !shows_something(row))
        return false;
    const struct kp_admitted *in = kp_http_attached(x);
    bool asked = in != NULL && in->access.verb != NULL;
    const char *subresource = asked ? in->access.subresource : row->subresource;
    *ret = (struct kp_api_described){.user = in ? in->identity->name : "",
        .verb = asked ? in->access.verb : row->verb,
        .namespace = asked && in->access.namespace ? in->access.namespace : ""};
    snprintf(ret->resource, sizeof ret->resource, "profiles%s%s", subresource ? "/" : "",
        subresource ? subresource : "");
    return !kp_streq(ret->verb, "create");
}
