// Policies from JSON text for the tests beside it (and of target). Single quotes stand for double ones.
#ifndef KP_POLICY_POLICY_FIXTURE_H
#define KP_POLICY_POLICY_FIXTURE_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "policy/policy.h"

static inline json_t *fixture_json(const char *text)
{
    kp_auto_free char *copy = kp_strdup(text);
    for (char *p = copy; *p != '\0'; p++)
        if (*p == '\'')
            *p = '"';
    json_error_t err;
    json_t *json = json_loads(copy, JSON_DECODE_ANY, &err);
    if (json == NULL)
        fail_msg("%s at %d of %s", err.text, err.position, copy);
    return json;
}

// namespace NULL = a cluster policy. spec: "{'selector': {}}".
static inline struct kp_policy *fixture_policy_caps(
    const char *namespace, const char *name, const char *spec, const struct kp_policy_caps *caps)
{
    json_t *object = json_object(), *metadata = json_object();
    json_object_set_new(metadata, "name", json_string(name));
    json_object_set_new(metadata, "uid", json_sprintf("uid-%s", name));
    json_object_set_new(metadata, "generation", json_integer(3));
    if (namespace != NULL)
        json_object_set_new(metadata, "namespace", json_string(namespace));
    json_object_set_new(object, "metadata", metadata);
    json_object_set_new(object, "spec", fixture_json(spec));
    struct kp_policy *policy = NULL;
    struct kp_error err = {0};
    if (kp_policy_parse(object, caps, &policy, &err) != 0)
        fail_msg("%s", err.text);
    json_decref(object);
    return policy;
}

static inline struct kp_policy *fixture_policy(const char *namespace, const char *name, const char *spec)
{
    return fixture_policy_caps(namespace, name, spec, NULL);
}

#endif
