// The metrics profefe's dashboards read, of the requests to its API.
#include <stdio.h>

#include "api/state.h"
#include "base/text.h"
#include "base/banned.h"

#define MAX_SERIES 200

static const double buckets[] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};

void kp_api_start_profefe_metrics(struct kp_api *api)
{
    static const char *const three[] = {"method", "path", "code", NULL};
    static const char *const two[] = {"method", "path", NULL};
    struct kp_metrics *m = api->options.metrics;
    struct kp_profefe_metrics *p = &api->profefe;
    if (m == NULL)
        return;
    p->requests = kp_metrics_family(m, KP_COUNTER, "profefe_api_requests_total", "Requests to profefe's API.",
        three, NULL, 0, MAX_SERIES);
    p->seconds = kp_metrics_family(m, KP_HISTOGRAM, "profefe_api_request_duration_seconds",
        "Time to answer a request to profefe's API.", three, buckets, sizeof buckets / sizeof buckets[0],
        MAX_SERIES);
    p->request_bytes = kp_metrics_family(m, KP_COUNTER, "profefe_api_request_size_bytes_sum",
        "Bytes of bodies sent to profefe's API.", two, NULL, 0, MAX_SERIES);
    p->request_count = kp_metrics_family(m, KP_COUNTER, "profefe_api_request_size_bytes_count",
        "Requests those bytes came with.", two, NULL, 0, MAX_SERIES);
    p->response_bytes = kp_metrics_family(m, KP_COUNTER, "profefe_api_response_size_bytes_sum",
        "Bytes of bodies answered by profefe's API.", two, NULL, 0, MAX_SERIES);
    p->response_count = kp_metrics_family(m, KP_COUNTER, "profefe_api_response_size_bytes_count",
        "Answers those bytes went with.", two, NULL, 0, MAX_SERIES);
}

// Ids fold into one, and so does what is served nowhere.
static const char *path_of(const struct kp_http_route *route)
{
    if (kp_starts_with(route->path, "/api/0/profiles/{"))
        return "/api/0/profiles/__pid__";
    return kp_streq(route->method, "*") ? "/api/0/" : route->path;
}

void kp_api_on_access(
    struct kp_api *api, const struct kp_http_exchange *x, int status, size_t bytes_sent, double seconds)
{
    const struct kp_http_route *route = kp_http_matched_route(x);
    const struct kp_profefe_metrics *p = &api->profefe;
    char code[12];
    if (p->requests == NULL || route == NULL || !kp_starts_with(route->path, "/api/0/"))
        return;
    snprintf(code, sizeof code, "%d", status);
    const char *const labels[] = {kp_http_method(x), path_of(route), code};
    const struct kp_blob *body = kp_http_body(x);
    kp_metric_inc(kp_metric_with(p->requests, labels));
    kp_metric_observe(kp_metric_with(p->seconds, labels), seconds);
    kp_metric_add(kp_metric_with(p->request_bytes, labels), body ? (double)body->len : 0);
    kp_metric_inc(kp_metric_with(p->request_count, labels));
    kp_metric_add(kp_metric_with(p->response_bytes, labels), (double)bytes_sent);
    kp_metric_inc(kp_metric_with(p->response_count, labels));
}
