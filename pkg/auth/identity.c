#include "auth/identity.h"

#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/text.h"
#include "base/banned.h"

#define MAX_BYTES (64 * KP_KIB)

void kp_identity_draft_finish(struct kp_identity_draft *draft)
{
    kp_array_free(&draft->groups);
    kp_array_free(&draft->extra);
}

// ---- is it one ----

static bool take(size_t *room, const char *text)
{
    size_t len = text != NULL ? strlen(text) : 0;
    if (len > *room || (text != NULL && !kp_utf8_valid(text, len)))
        return false;
    *room -= len;
    return true;
}

static bool is_text(const struct kp_identity_draft *draft)
{
    size_t room = MAX_BYTES;
    bool good = take(&room, draft->name) && take(&room, draft->uid);
    for (size_t i = 0; good && i < draft->groups.n; i++)
        good = take(&room, draft->groups.items[i]);
    for (size_t i = 0; good && i < draft->extra.n; i++)
        good = take(&room, draft->extra.items[i].key) && take(&room, draft->extra.items[i].value);
    return good;
}

// "system:serviceaccount:NAMESPACE:NAME"
static char *namespace_of(const char *name)
{
    static const char prefix[] = "system:serviceaccount:";
    if (!kp_starts_with(name, prefix))
        return NULL;
    const char *from = name + sizeof prefix - 1, *colon = strchr(from, ':');
    if (colon == NULL)
        return NULL;
    kp_auto_free char *namespace = kp_strndup(from, (size_t)(colon - from));
    return kp_kube_name_valid(namespace) && kp_kube_name_valid(colon + 1) ? kp_take(namespace) : NULL;
}

// ---- making ----

static struct kp_identity *make(const struct kp_identity_draft *draft)
{
    struct kp_identity *identity = KP_NEW(struct kp_identity);
    identity->by = draft->by;
    identity->name = kp_strdup(draft->name);
    identity->uid = kp_strdup(draft->uid);
    identity->namespace = namespace_of(draft->name);
    identity->n_groups = draft->groups.n;
    identity->groups = KP_NEW_ARRAY(char *, draft->groups.n + 1);
    for (size_t i = 0; i < draft->groups.n; i++)
        identity->groups[i] = kp_strdup(draft->groups.items[i]);
    identity->n_extra = draft->extra.n;
    identity->extra = KP_NEW_ARRAY(struct kp_identity_extra, draft->extra.n + 1);
    for (size_t i = 0; i < draft->extra.n; i++) {
        const struct kp_review_extra *extra = &draft->extra.items[i];
        identity->extra[i] = (struct kp_identity_extra){kp_strdup(extra->key), kp_strdup(extra->value)};
    }
    return identity;
}

int kp_identity_make(struct kp_identity_draft *draft, struct kp_identity **ret, struct kp_error *err)
{
    int code = 0;
    if (draft->name == NULL || draft->name[0] == '\0')
        code = kp_fail(err, KP_UNAUTHENTICATED, "the user has no name");
    else if (!is_text(draft))
        code = kp_fail(
            err, KP_UNAUTHENTICATED, "the user's name, groups and extra are not UTF-8 or larger than 64 KiB");
    else
        *ret = make(draft);
    kp_identity_draft_finish(draft);
    return code;
}

struct kp_identity *kp_identity_copy(const struct kp_identity *identity)
{
    struct kp_identity_draft draft = {.by = identity->by, .name = identity->name, .uid = identity->uid};
    for (size_t i = 0; i < identity->n_groups; i++)
        *kp_array_add(&draft.groups) = identity->groups[i];
    for (size_t i = 0; i < identity->n_extra; i++)
        *kp_array_add(&draft.extra) =
            (struct kp_review_extra){identity->extra[i].key, identity->extra[i].value};
    struct kp_identity *copy = make(&draft);
    kp_identity_draft_finish(&draft);
    return copy;
}
