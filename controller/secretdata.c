#include "controller/secretdata.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/alloc.h"
#include "base/banned.h"

#define MAX_DATA (1u << 20)

char *kp_base64(const void *data, size_t len)
{
    if (len > MAX_DATA)
        len = 0;
    char *out = kp_alloc((len + 2) / 3 * 4 + 1);
    out[EVP_EncodeBlock((unsigned char *)out, data, (int)len)] = '\0';
    return out;
}

char *kp_secretdata_get(const json_t *secret, const char *member)
{
    const char *text = json_string_value(json_object_get(json_object_get(secret, "data"), member));
    size_t len = text != NULL ? strlen(text) : 0;
    if (len == 0 || len % 4 != 0 || len > MAX_DATA)
        return NULL;
    size_t padding = (text[len - 1] == '=' ? 1u : 0u) + (text[len - 2] == '=' ? 1u : 0u);
    char *out = kp_alloc(len / 4 * 3 + 1);
    int n = EVP_DecodeBlock((unsigned char *)out, (const unsigned char *)text, (int)len);
    size_t real = n >= (int)padding ? (size_t)n - padding : 0;
    out[real] = '\0';
    if (n <= 0 || strlen(out) != real) {
        kp_free(out);
        return NULL;
    }
    return out;
}

static json_t *data_of(const struct kp_secretdata_item *items)
{
    json_t *data = json_object();
    for (size_t i = 0; items[i].name != NULL; i++) {
        if (items[i].text == NULL)
            continue;
        char *encoded = kp_base64(items[i].text, strlen(items[i].text));
        json_object_set_new(data, items[i].name, json_string(encoded));
        explicit_bzero(encoded, strlen(encoded));
        kp_free(encoded);
    }
    return data;
}

// Helm takes away what an older revision of a release had and the new one has not: so a Secret that somebody
// made anew by hand, as the log tells him to, unless it says that it is kept.
static json_t *kept_by_helm(const json_t *annotations)
{
    json_t *kept = annotations != NULL ? json_copy((json_t *)(uintptr_t)annotations) : json_object();
    json_object_set_new(kept, "helm.sh/resource-policy", json_string("keep"));
    return kept;
}

struct kp_blob *kp_secretdata_object(const json_t *read, const struct kp_secretdata_item *items)
{
    json_t *object = json_pack("{s:s,s:s,s:o}", "apiVersion", "v1", "kind", "Secret", "data", data_of(items));
    json_t *metadata = json_copy(json_object_get(read, "metadata"));
    json_object_del(metadata, "managedFields");
    json_object_set_new(metadata, "annotations", kept_by_helm(json_object_get(metadata, "annotations")));
    json_object_set_new(object, "metadata", metadata);
    json_object_set(object, "type", json_object_get(read, "type")); // cannot be changed
    char *text = json_dumps(object, JSON_COMPACT);
    size_t len = text != NULL ? strlen(text) : 0;
    struct kp_blob *blob = kp_blob_copy(text != NULL ? text : "", len);
    if (text != NULL)
        explicit_bzero(text, len);
    free(text);
    kp_secretdata_wipe(object);
    json_decref(object);
    return blob;
}

void kp_secretdata_wipe(json_t *secret)
{
    const char *name;
    json_t *value;
    json_object_foreach(json_object_get(secret, "data"), name, value)
    {
        if (json_is_string(value) && json_string_length(value) > 0)
            explicit_bzero((char *)(uintptr_t)json_string_value(value), json_string_length(value));
    }
}
