// spec.endpoints: where pprof is served, and how to get in.
#include <string.h>

#include "base/alloc.h"
#include "policy/reader.h"
#include "base/banned.h"

// Of a server's name.
#define NAME_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-"

static struct kp_key_ref get_ref(struct kp_policy_reader *p, const json_t *object)
{
    return (struct kp_key_ref){
        .name = kp_policy_get_string(p, object, "name", 253),
        .key = kp_policy_get_string(p, object, "key", 253),
    };
}

static void read_tls(struct kp_policy_reader *p, const json_t *tls, struct kp_endpoint *endpoint)
{
    const json_t *ca = kp_policy_get_object(p, tls, "ca");
    const json_t *config_map = kp_policy_get_object(p, ca, "configMapRef");
    const json_t *secret = kp_policy_get_object(p, ca, "secretRef");
    const char *name = kp_policy_get_string(p, tls, "serverName", 253);
    endpoint->tls_server_name = name;
    if (name != NULL && (name[0] == '\0' || name[strspn(name, NAME_CHARS)] != '\0'))
        kp_policy_reject(p, "tls.serverName '%.60s' is no name of a server", name);
    endpoint->tls_insecure = kp_policy_get_bool(p, tls, "insecureSkipVerify");
    if (ca != NULL && (config_map != NULL) == (secret != NULL))
        kp_policy_reject(p, "tls.ca: set exactly one of secretRef and configMapRef");
    endpoint->tls_ca = get_ref(p, config_map != NULL ? config_map : secret);
    endpoint->tls_ca.is_config_map = config_map != NULL;
    if (ca != NULL && endpoint->tls_ca.name == NULL)
        kp_policy_reject(p, "tls.ca: the reference has no name");
    if (tls != NULL && !endpoint->https)
        kp_policy_reject(p, "tls needs scheme HTTPS");
    if (endpoint->tls_ca.name != NULL && endpoint->tls_ca.key == NULL)
        endpoint->tls_ca.key = "ca.crt";
    endpoint->tls_client_secret = kp_policy_get_string(
        p, json_object_get(json_object_get(tls, "clientCertificate"), "secretRef"), "name", 253);
}

static void read_authorization(struct kp_policy_reader *p, const json_t *auth, struct kp_endpoint *endpoint)
{
    static const char *const types[] = {"Bearer", "Basic", NULL};
    if (auth == NULL)
        return;
    int type = kp_policy_get_choice(p, auth, "type", types, 0);
    endpoint->auth = type == 0 ? KP_AUTH_BEARER : KP_AUTH_BASIC;
    endpoint->auth_secret = get_ref(p, kp_policy_get_object(p, auth, "secretRef"));
    if (endpoint->auth_secret.key == NULL)
        endpoint->auth_secret.key = "token";
}

static void read_headers(struct kp_policy_reader *p, const json_t *list, struct kp_endpoint *endpoint)
{
    size_t n = json_array_size(list);
    if (n > KP_MAX_HEADERS) {
        kp_policy_reject(p, "an endpoint has more than %d headers", KP_MAX_HEADERS);
        return;
    }
    struct kp_label *headers = KP_ARENA_ARRAY(&p->arena, struct kp_label, n);
    for (size_t i = 0; i < n; i++) {
        const char *name = kp_policy_get_string(p, json_array_get(list, i), "name", 128);
        const char *value = kp_policy_get_string(p, json_array_get(list, i), "value", 1024);
        headers[i] = (struct kp_label){name != NULL ? name : "", value != NULL ? value : ""};
    }
    endpoint->n_headers = n;
    endpoint->headers = headers;
}

static void read_endpoint(struct kp_policy_reader *p, const json_t *object, struct kp_endpoint *endpoint)
{
    static const char *const schemes[] = {"HTTP", "HTTPS", NULL};
    const json_t *port = json_object_get(object, "port");
    endpoint->name = kp_policy_get_string(p, object, "name", 63);
    if (endpoint->name == NULL)
        endpoint->name = "";
    endpoint->container = kp_policy_get_string(p, object, "container", 63);
    if (json_is_integer(port)) {
        json_int_t number = json_integer_value(port);
        if (number < 1 || number > 65535)
            kp_policy_reject(p, "port %lld is not between 1 and 65535", (long long)number);
        else
            endpoint->port = (uint16_t)number;
    } else {
        endpoint->port_name = kp_policy_get_string(p, object, "port", 15);
        if (endpoint->port_name == NULL)
            kp_policy_reject(p, "an endpoint has no port");
    }
    endpoint->https = kp_policy_get_choice(p, object, "scheme", schemes, 0) == 1;
    endpoint->path = kp_policy_get_string(p, object, "path", 255);
    endpoint->path_open = endpoint->path == NULL;
    if (endpoint->path_open)
        endpoint->path = "/debug/pprof";
    read_tls(p, kp_policy_get_object(p, object, "tls"), endpoint);
    read_authorization(p, kp_policy_get_object(p, object, "authorization"), endpoint);
    read_headers(p, kp_policy_get_list(p, object, "headers"), endpoint);
}

void kp_policy_read_endpoints(struct kp_policy_reader *p, const json_t *list)
{
    size_t n = json_array_size(list);
    if (n > KP_MAX_ENDPOINTS) {
        kp_policy_reject(p, "more than %d endpoints", KP_MAX_ENDPOINTS);
        return;
    }
    struct kp_endpoint *endpoints = KP_ARENA_ARRAY(&p->arena, struct kp_endpoint, n);
    for (size_t i = 0; i < n; i++)
        read_endpoint(p, json_array_get(list, i), &endpoints[i]);
    p->policy->endpoints = endpoints;
    p->policy->n_endpoints = n;
}
