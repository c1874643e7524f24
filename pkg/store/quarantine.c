#include "store/quarantine.h"

#include "base/alloc.h"
#include "base/log.h"
#include "base/text.h"
#include "store/segment_name.h"
#include "store/tier.h"
#include "base/banned.h"

static bool is_over(const struct kp_store *store, const char *name)
{
    struct kp_segment_name n;
    return kp_segment_name_parse(name, &n) &&
           (n.to_ms <= kp_forgotten_before(&store->forgotten, n.namespace) ||
               kp_store_expiry(store, n.keep_s, n.to_ms) <= kp_store_now(store));
}

// The mark goes last: without it a file that is left would be looked at again.
static int drop(struct kp_store *store, const char *name)
{
    kp_auto_free char *mark = kp_asprintf("%s.bad", name);
    struct kp_error err = {0};
    int rc = store->storage.ops->remove(store->storage.self, name, &err);
    if (rc == 0 || rc == KP_NOT_FOUND)
        rc = store->storage.ops->remove(store->storage.self, mark, &err);
    if (rc != 0 && rc != KP_NOT_FOUND) {
        KP_DEBUG("cannot remove a damaged segment", KP_E(&err));
        return rc;
    }
    return 0;
}

void kp_quarantine_sweep(struct kp_store *store)
{
    for (size_t i = store->bad_names.n; i-- > 0;) {
        char *name = store->bad_names.items[i];
        if (!is_over(store, name) || drop(store, name) != 0)
            continue;
        KP_DEBUG("a damaged segment went, like what was in it", KP_S("segment", name));
        pthread_rwlock_wrlock(&store->lock);
        store->bad_names.items[i] = store->bad_names.items[--store->bad_names.n];
        pthread_rwlock_unlock(&store->lock);
        kp_free(name);
    }
}

bool kp_quarantine_may_hold(const struct kp_store *store, const char *namespace, int64_t before_ms)
{
    struct kp_segment_name n;
    for (size_t i = 0; i < store->bad_names.n; i++)
        if (!kp_segment_name_parse(store->bad_names.items[i], &n) ||
            (kp_streq(n.namespace, namespace) && n.from_ms < before_ms))
            return true;
    return false;
}
