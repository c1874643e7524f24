// Any JSON as a policy object: what is accepted keeps the promises other modules rest on.
#include <stdlib.h>
#include <string.h>

#include "policy/policy.h"
#include "policy/validate.h"
#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void check_accepted(const struct kp_policy *policy)
{
    check(policy->selector != NULL);
    check(policy->sample_replicas.value >= 1 && policy->rotation_ms >= 60000);
    check(policy->overhead_percent > 0 && policy->overhead_percent <= 5);
    check(policy->profile_bytes >= 1024 && policy->profile_bytes <= KP_MAX_PROFILE_BYTES);
    check(policy->service_source == KP_SERVICE_WORKLOAD || policy->service_key != NULL);
    for (size_t i = 0; i < policy->n_profiles; i++) {
        const struct kp_profile_spec *profile = &policy->profiles[i];
        check(profile->interval_ms >= 10000 && profile->duration_ms < profile->interval_ms);
        check(profile->path == NULL || kp_path_allowed(profile->path, NULL));
    }
    for (size_t i = 0; i < policy->n_endpoints; i++) {
        const struct kp_endpoint *endpoint = &policy->endpoints[i];
        check((endpoint->port == 0) == (endpoint->port_name != NULL));
        check(kp_path_allowed(endpoint->path, NULL));
        check(endpoint->auth == KP_AUTH_NONE || (endpoint->https && !endpoint->tls_insecure));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *object = json_loadb((const char *)data, size, JSON_ALLOW_NUL, NULL);
    struct kp_policy *policy = NULL;
    struct kp_error err = {0};
    if (object == NULL)
        return 0;
    if (kp_policy_parse(object, NULL, &policy, &err) == 0) {
        check(policy->n_profiles >= 1 && policy->static_labels != NULL);
        check((policy->reject_reason == NULL) == (policy->reject_message == NULL));
        if (policy->reject_reason == NULL)
            check_accepted(policy);
        kp_policy_unref(policy);
    }
    json_decref(object);
    return 0;
}
