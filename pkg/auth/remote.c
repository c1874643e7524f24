#include "auth/remote.h"

#include <string.h>
#include <strings.h>

#include "auth/identity.h"
#include "base/alloc.h"
#include "base/limits.h"
#include "base/text.h"
#include "base/banned.h"

enum {
    MAX_NAMES = 64,
    MAX_NAME = 256,
    MAX_HEADERS = 1024, // of groups and extra; the HTTP server's own bound is lower
};

// ---- the ConfigMap ----

static void names_finish(struct kp_remote_names *names)
{
    for (size_t i = 0; i < names->n; i++)
        kp_free(names->items[i]);
    kp_free(names->items);
    *names = (struct kp_remote_names){0};
}

void kp_remote_finish(struct kp_remote *remote)
{
    kp_free(remote->ca_pem);
    names_finish(&remote->allowed);
    names_finish(&remote->user);
    names_finish(&remote->group);
    names_finish(&remote->extra_prefix);
    names_finish(&remote->uid);
    *remote = (struct kp_remote){0};
}

static int bad_list(const char *key, struct kp_error *err)
{
    return kp_fail(err, KP_INVALID,
        "'%s' of ConfigMap kube-system/extension-apiserver-authentication is no list of names", key);
}

// with_empty: "" is a name. It is none of a header, and as a prefix it would be that of all.
static int add_names(
    const char *key, const json_t *list, bool with_empty, struct kp_remote_names *names, struct kp_error *err)
{
    size_t n = json_array_size(list);
    if ((!json_is_array(list) && !json_is_null(list)) || n > MAX_NAMES) // null: how Go writes none
        return bad_list(key, err);
    names->items = KP_NEW_ARRAY(char *, n + 1);
    for (size_t i = 0; i < n; i++) {
        const char *name = json_string_value(json_array_get(list, i));
        if (name == NULL || strlen(name) > MAX_NAME)
            return bad_list(key, err);
        if (name[0] != '\0' || with_empty)
            names->items[names->n++] = kp_strdup(name);
    }
    return 0;
}

// usual: what is meant where nothing is said; NULL = no names.
static int read_names(const json_t *data, const char *key, const char *usual, struct kp_remote_names *names,
    struct kp_error *err)
{
    const json_t *text = json_object_get(data, key);
    json_t *list = json_is_string(text) ? json_loads(json_string_value(text), JSON_DECODE_ANY, NULL) : NULL;
    int code = 0;
    if (text != NULL && json_string_length(text) > 0)
        code = add_names(key, list, usual == NULL, names, err);
    json_decref(list);
    if (code != 0 || names->n > 0 || usual == NULL)
        return code;
    kp_free(names->items);
    names->items = KP_NEW_ARRAY(char *, 1);
    names->items[names->n++] = kp_strdup(usual);
    return 0;
}

static int read_all(const json_t *data, struct kp_remote *remote, struct kp_error *err)
{
    const struct {
        const char *key, *usual;
        struct kp_remote_names *names;
    } rows[] = {
        {"requestheader-allowed-names", NULL, &remote->allowed},
        {"requestheader-username-headers", "X-Remote-User", &remote->user},
        {"requestheader-group-headers", "X-Remote-Group", &remote->group},
        {"requestheader-extra-headers-prefix", "X-Remote-Extra-", &remote->extra_prefix},
        {"requestheader-uid-headers", "X-Remote-Uid", &remote->uid},
    };
    for (size_t i = 0; i < KP_COUNT(rows); i++)
        if (read_names(data, rows[i].key, rows[i].usual, rows[i].names, err) != 0)
            return KP_INVALID;
    return 0;
}

int kp_remote_read(const json_t *config_map, struct kp_remote *ret, struct kp_error *err)
{
    struct kp_remote remote = {0};
    const json_t *data = json_object_get(config_map, "data");
    const char *ca = json_string_value(json_object_get(data, "requestheader-client-ca-file"));
    if (ca == NULL || ca[0] == '\0')
        return kp_fail(err, KP_NOT_FOUND,
            "ConfigMap kube-system/extension-apiserver-authentication names no requestheader-client-ca-file: "
            "the API server has no front proxy");
    int code = read_all(data, &remote, err);
    if (code != 0) {
        kp_remote_finish(&remote);
        return code;
    }
    remote.ca_pem = kp_strdup(ca);
    *ret = remote;
    return 0;
}

bool kp_remote_allows(const struct kp_remote *remote, const char *common_name)
{
    for (size_t i = 0; i < remote->allowed.n; i++)
        if (strcmp(remote->allowed.items[i], common_name) == 0)
            return true;
    return remote->allowed.n == 0;
}

// ---- the headers ----

// A header that is there once: of the first name that is there at all.
static int find_one(const struct kp_remote_names *names, kp_remote_header_fn header_at, const void *of,
    const char **ret, struct kp_error *err)
{
    const char *name, *value, *found = NULL;
    for (size_t k = 0; found == NULL && k < names->n; k++) {
        for (size_t i = 0; header_at(of, i, &name, &value); i++) {
            if (strcasecmp(name, names->items[k]) != 0 || value[0] == '\0')
                continue;
            if (found != NULL)
                return kp_fail(err, KP_UNAUTHENTICATED, "header '%s' is there twice", names->items[k]);
            found = value;
        }
    }
    *ret = found;
    return 0;
}

static int too_many(struct kp_error *err)
{
    return kp_fail(err, KP_UNAUTHENTICATED, "more than %d groups or extra values", MAX_HEADERS);
}

static int find_groups(const struct kp_remote_names *names, kp_remote_header_fn header_at, const void *of,
    struct kp_identity_draft *draft, struct kp_error *err)
{
    const char *name, *value;
    for (size_t k = 0; k < names->n; k++) {
        for (size_t i = 0; header_at(of, i, &name, &value); i++) {
            if (strcasecmp(name, names->items[k]) != 0 || value[0] == '\0')
                continue;
            if (draft->groups.n == MAX_HEADERS)
                return too_many(err);
            *kp_array_add(&draft->groups) = value;
        }
    }
    return 0;
}

// The API server has percent-encoded it, and HTTP has lost its case. What is no escape is taken as it is.
static char *extra_key(const char *encoded)
{
    size_t len = strlen(encoded);
    char *lower = kp_strdup(encoded);
    for (char *c = lower; *c != '\0'; c++)
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c + ('a' - 'A') : *c);
    char *key = kp_alloc(len + 1);
    if (kp_url_decode(lower, len, key)) {
        kp_free(lower);
        return key;
    }
    kp_free(key);
    return lower;
}

struct keys { // what the draft's extra points to
    KP_ARRAY(char *) list;
};

static int find_extra(const struct kp_remote_names *prefixes, kp_remote_header_fn header_at, const void *of,
    struct kp_identity_draft *draft, struct keys *keys, struct kp_error *err)
{
    const char *name, *value;
    for (size_t k = 0; k < prefixes->n; k++) {
        size_t len = strlen(prefixes->items[k]);
        for (size_t i = 0; header_at(of, i, &name, &value); i++) {
            if (strncasecmp(name, prefixes->items[k], len) != 0 || name[len] == '\0')
                continue;
            if (draft->extra.n == MAX_HEADERS)
                return too_many(err);
            char *key = extra_key(name + len);
            *kp_array_add(&keys->list) = key;
            *kp_array_add(&draft->extra) = (struct kp_review_extra){key, value};
        }
    }
    return 0;
}

static int find_rest(const struct kp_remote *remote, kp_remote_header_fn header_at, const void *of,
    struct kp_identity_draft *draft, struct keys *keys, struct kp_error *err)
{
    if (find_one(&remote->uid, header_at, of, &draft->uid, err) != 0 ||
        find_groups(&remote->group, header_at, of, draft, err) != 0 ||
        find_extra(&remote->extra_prefix, header_at, of, draft, keys, err) != 0)
        return KP_UNAUTHENTICATED;
    return 0;
}

int kp_remote_identity(const struct kp_remote *remote, kp_remote_header_fn header_at, const void *of,
    struct kp_identity **ret, struct kp_error *err)
{
    struct kp_identity_draft draft = {.by = KP_BY_FRONT_PROXY};
    struct keys keys = {0};
    *ret = NULL;
    int code = find_one(&remote->user, header_at, of, &draft.name, err);
    if (code == 0 && draft.name != NULL)
        code = find_rest(remote, header_at, of, &draft, &keys, err);
    if (code == 0 && draft.name != NULL)
        code = kp_identity_make(&draft, ret, err);
    else
        kp_identity_draft_finish(&draft);
    for (size_t i = 0; i < keys.list.n; i++)
        kp_free(keys.list.items[i]);
    kp_array_free(&keys.list);
    return code;
}
