#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/blob.h"
#include "base/strbuf.h"
#include "kube/client.h"

#include "base/banned.h"

// A DNS subdomain (RFC 1123) or a name of the same letters; what could change the meaning of a path is never
// let through.
bool kp_kube_name_valid(const char *name)
{
    size_t n = name ? strlen(name) : 0;
    if (n == 0 || n > 253)
        return false;
    for (size_t i = 0; i < n; i++) {
        char c = name[i];
        bool alphanumeric = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        bool inner = (c == '-' || c == '.') && i > 0 && i + 1 < n;
        if (!alphanumeric && !inner)
            return false;
        if (c == '.' && (name[i - 1] == '.' || name[i - 1] == '-'))
            return false;
        if (c == '-' && name[i - 1] == '.')
            return false;
    }
    return true;
}

int kp_kube_apply(struct kp_kube *kube, const char *path, const char *field_manager, json_t *object,
    void (*on_done)(void *user, int http_status, json_t *json, const struct kp_error *err), void *user,
    struct kp_kube_call **ret, struct kp_error *err)
{
    kp_auto_strbuf full;
    kp_strbuf_init(&full, 8192);
    kp_strbuf_addf(&full, "%s%cforce=true&fieldManager=", path, strchr(path, '?') ? '&' : '?');
    kp_strbuf_add_url(&full, field_manager);
    char *text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    if (!text || full.overflow) {
        free(text);
        return kp_fail(
            err, KP_INVALID, "cannot apply to '%s': the object or the path cannot be written", path);
    }
    struct kp_blob *body = kp_blob_copy(text, strlen(text));
    free(text);
    struct kp_kube_request request = {
        .method = "PATCH",
        .path = full.data,
        .content_type = "application/apply-patch+yaml", // JSON is YAML
        .body = body,
        .on_done = on_done,
        .user = user,
    };
    int code = kp_kube_start(kube, &request, ret, err);
    kp_blob_unref(body);
    return code;
}
