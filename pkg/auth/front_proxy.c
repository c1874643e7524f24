// Whom the API server lets speak for others: a ConfigMap of its own, watched. What it says counts at once;
// while it cannot be read, what it said last.
#include <string.h>

#include "auth/auth_private.h"
#include "base/text.h"
#include "base/banned.h"

static void tell(struct kp_auth *auth, const struct kp_error *err)
{
    bool was_well = auth->why_not.code == 0;
    auth->why_not = err != NULL ? *err : (struct kp_error){0};
    if (auth->options.on_trouble != NULL && was_well != (err == NULL))
        auth->options.on_trouble(auth->options.user, "front proxy", err);
}

static void believe_nobody(struct kp_auth *auth)
{
    kp_http_trust_unref(kp_take(auth->trust));
    kp_remote_finish(&auth->remote);
}

static int read_map(
    const json_t *map, struct kp_remote *remote, struct kp_http_trust **ret, struct kp_error *err)
{
    int code = kp_remote_read(map, remote, err);
    if (code != 0)
        return code;
    code = kp_http_trust_create(remote->ca_pem, ret, err);
    if (code != 0) {
        kp_remote_finish(remote);
        kp_wrap(err, "cannot read the front proxy's CA in kube-system/extension-apiserver-authentication");
    }
    return code;
}

static void on_change(void *user, const char *key, void *old_value, void *new_value)
{
    struct kp_auth *auth = user;
    struct kp_remote remote = {0};
    struct kp_http_trust *trust = NULL;
    struct kp_error err = {0};
    (void)old_value;
    if (!kp_streq(key, "kube-system/extension-apiserver-authentication"))
        return; // the field selector keeps others away
    int code = new_value != NULL
                   ? read_map(new_value, &remote, &trust, &err)
                   : kp_fail(&err, KP_NOT_FOUND,
                         "ConfigMap kube-system/extension-apiserver-authentication has been deleted");
    // taken back is taken back; what is half written will be whole soon
    if (code == 0 || code == KP_NOT_FOUND)
        believe_nobody(auth);
    if (code == 0) {
        auth->remote = remote;
        auth->trust = trust;
    }
    tell(auth, code != 0 ? &err : NULL);
}

static void on_synced(void *user)
{
    struct kp_auth *auth = user;
    struct kp_error err = {0};
    if (kp_reflector_count(auth->reflector) > 0)
        return;
    kp_fail(&err, KP_NOT_FOUND, "there is no ConfigMap kube-system/extension-apiserver-authentication");
    tell(auth, &err);
}

static void on_trouble(void *user, const struct kp_error *err)
{
    struct kp_auth *auth = user;
    if (auth->trust == NULL && err != NULL)
        tell(auth, err); // later ones are the reviews' trouble as well, and what is known stays
}

void kp_front_proxy_start(struct kp_auth *auth)
{
    const struct kp_reflector_kind kind = {.name = "configmaps",
        .path = "/api/v1/namespaces/kube-system/configmaps",
        .query = "fieldSelector=metadata.name%3Dextension-apiserver-authentication",
        .decode = kp_decode_json,
        .unref = kp_unref_json};
    const struct kp_reflector_events events = {
        .on_change = on_change, .on_synced = on_synced, .on_trouble = on_trouble, .user = auth};
    auth->reflector = kp_reflector_create(auth->options.kube, &kind, &events, auth->options.metrics);
    kp_reflector_start(auth->reflector);
}

void kp_front_proxy_finish(struct kp_auth *auth)
{
    if (auth->reflector != NULL)
        kp_reflector_destroy(auth->reflector);
    believe_nobody(auth);
}

// ---- a request ----

static bool header_at(const void *of, size_t i, const char **ret_name, const char **ret_value)
{
    return kp_http_header_at(of, i, ret_name, ret_value);
}

int kp_front_proxy_read(const struct kp_auth *auth, const struct kp_http_exchange *x,
    struct kp_identity **ret, struct kp_error *err)
{
    *ret = NULL;
    const char *name = auth->trust != NULL ? kp_http_client_trusted(x, auth->trust) : NULL;
    if (name == NULL || !kp_remote_allows(&auth->remote, name))
        return 0;
    return kp_remote_identity(&auth->remote, header_at, x, ret, err);
}

bool kp_auth_ready(void *user, const char **ret_why_not)
{
    const struct kp_auth *auth = user;
    if (auth->reflector == NULL || auth->trust != NULL)
        return true;
    *ret_why_not = auth->why_not.code != 0 ? auth->why_not.text
                                           : "the CA of the API server's front proxy is not known yet";
    return false;
}
