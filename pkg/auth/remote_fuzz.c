// The front proxy's ConfigMap and headers, from one run of bytes: the ConfigMap up to the first NUL, then
// lines "Name: value".
#include "auth/remote.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEADERS = 2000 };

struct headers {
    const char *names[HEADERS], *values[HEADERS];
    size_t n;
};

static bool header_at(const void *of, size_t i, const char **ret_name, const char **ret_value)
{
    const struct headers *headers = of;
    if (i >= headers->n)
        return false;
    *ret_name = headers->names[i];
    *ret_value = headers->values[i];
    return true;
}

static void split(char *text, struct headers *headers)
{
    char *rest = NULL;
    headers->n = 0;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL && headers->n < HEADERS;
         line = strtok_r(NULL, "\n", &rest)) {
        char *colon = strchr(line, ':');
        if (colon == NULL)
            continue;
        *colon = '\0';
        headers->names[headers->n] = line;
        headers->values[headers->n++] = colon[1] == ' ' ? colon + 2 : colon + 1;
    }
}

static void check(const struct kp_identity *who)
{
    size_t bytes = strlen(who->name);
    bool good = who->name[0] != '\0' && kp_utf8_valid(who->name, bytes) && who->by == KP_BY_FRONT_PROXY;
    for (size_t i = 0; i < who->n_groups; i++) {
        bytes += strlen(who->groups[i]);
        good &= who->groups[i][0] != '\0' && kp_utf8_valid(who->groups[i], strlen(who->groups[i]));
    }
    for (size_t i = 0; i < who->n_extra; i++) {
        bytes += strlen(who->extra[i].key) + strlen(who->extra[i].value);
        good &= kp_utf8_valid(who->extra[i].key, strlen(who->extra[i].key));
    }
    if (!good || bytes > 65536)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kp_remote remote = {0};
    struct kp_identity *identity;
    static struct headers headers;
    kp_auto_free char *text = kp_strndup((const char *)data, size);
    size_t len = strlen(text);
    json_t *map = json_loadb(text, len, 0, NULL);
    int code = kp_remote_read(map, &remote, NULL);
    json_decref(map);
    if (code != 0)
        return 0;
    kp_auto_free char *lines =
        len < size ? kp_strndup((const char *)data + len + 1, size - len - 1) : kp_strdup("");
    split(lines, &headers);
    if (kp_remote_identity(&remote, header_at, &headers, &identity, NULL) == 0 && identity != NULL) {
        check(identity);
        kp_identity_free(identity);
    }
    kp_remote_finish(&remote);
    return 0;
}
