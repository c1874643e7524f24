#include "api/hint.h"

#include <string.h>

#include "api/state.h"
#include "base/alloc.h"
#include "base/array.h"
#include "base/text.h"
#include "base/banned.h"

#define MAX_TYPES 50
#define NEAR      2 // letters that differ

struct types {
    const char *service; // NULL = any
    KP_ARRAY(char *) list;
};

static void add_type(struct types *types, const char *name, size_t len)
{
    for (size_t i = 0; i < types->list.n; i++)
        if (strlen(types->list.items[i]) == len && memcmp(types->list.items[i], name, len) == 0)
            return;
    if (len > 0 && types->list.n < MAX_TYPES)
        *kp_array_add(&types->list) = kp_strndup(name, len);
}

static void on_service(void *user, const struct kp_service_info *info)
{
    struct types *types = user;
    if (types->service && !kp_streq(types->service, info->service))
        return;
    for (const char *p = info->types; *p;) {
        size_t len = strcspn(p, ",");
        add_type(types, p, len);
        p += len + (p[len] == ',');
    }
}

static const char *nearest(const struct types *types, const char *wanted)
{
    const char *best = NULL;
    size_t least = NEAR + 1;
    for (size_t i = 0; i < types->list.n; i++) {
        size_t distance = kp_edit_distance(types->list.items[i], wanted);
        if (distance < least) {
            least = distance;
            best = types->list.items[i];
        }
    }
    return best;
}

static void say(struct kp_call *call, const struct types *types, const char *wanted)
{
    char shown[40];
    kp_auto_strbuf list;
    const char *near = nearest(types, wanted);
    kp_strbuf_init(&list, 120); // of what does not fit the beginning is enough
    for (size_t i = 0; i < types->list.n; i++)
        kp_strbuf_addf(&list, "%s%s", i > 0 ? ", " : "", types->list.items[i]);
    call->error = (struct kp_error){0};
    kp_fail(&call->error, KP_NOT_FOUND, "no profile of type '%s' is kept; %s has %s%s%s",
        kp_printable(shown, sizeof shown, wanted, strlen(wanted)),
        types->service ? "the service" : "the store", list.data, near ? "; nearest: " : "", near ? near : "");
}

void kp_hint_types(struct kp_call *call, const struct kp_merge_query *query)
{
    const char *wanted = query->select.type;
    struct types types = {.service = query->select.service};
    bool is_kept = false;
    if (call->error.code != KP_NOT_FOUND || query->n_ids > 0 || wanted == NULL)
        return;
    int rc = kp_store_services(call->api->options.store, query->select.namespace, on_service, &types, NULL);
    for (size_t i = 0; i < types.list.n; i++)
        is_kept |= kp_streq(types.list.items[i], wanted);
    if (rc == 0 && !is_kept && types.list.n > 0)
        say(call, &types, wanted);
    for (size_t i = 0; i < types.list.n; i++)
        kp_free(types.list.items[i]);
    kp_array_free(&types.list);
}
