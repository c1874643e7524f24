// The ready-made kind for small objects: a JSON value. Lists and watches of pods go through podscan.c.
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "kube/reflector.h"

#include "base/banned.h"

void *kp_decode_json(
    void *user, const char *json, size_t len, char key[512], char rv[64], struct kp_error *err)
{
    (void)user;
    json_error_t why;
    json_t *object = json_loadb(json, len, 0, &why);
    json_t *metadata = json_object_get(object, "metadata");
    const char *name = json_string_value(json_object_get(metadata, "name"));
    const char *namespace = json_string_value(json_object_get(metadata, "namespace"));
    const char *version = json_string_value(json_object_get(metadata, "resourceVersion"));
    if (!object) {
        kp_fail(err, KP_INVALID, "cannot read an object: %s", why.text);
        return NULL;
    }
    if (!name || !*name || strlen(name) > 253 || (namespace && strlen(namespace) > 63)) {
        kp_fail(err, KP_INVALID, "cannot read an object: it has no name, or one that is too long");
        json_decref(object);
        return NULL;
    }
    snprintf(key, 512, "%s%s%s", namespace ? namespace : "", namespace && *namespace ? "/" : "", name);
    kp_copy(rv, 64, version ? version : "");
    json_object_del(metadata, "managedFields");
    return object;
}

void kp_unref_json(void *value)
{
    json_decref(value);
}
