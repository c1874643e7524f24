#include "store/caps.h"

#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "store/tier.h"
#include "base/banned.h"

#define SLACK         10 // a tenth more than it may have is taken, until the oldest is gone
#define BELOW         20 // not again for every profile: a twentieth more than needed goes
#define DROPS_A_STEP  16
#define WAIT_BYTES_S  30
#define WAIT_SERIES_S 300

static struct kp_cap *find(struct kp_caps *caps, const char *namespace)
{
    struct kp_cap *cap;
    HASH_FIND_STR(caps->all, namespace, cap);
    if (cap == NULL) {
        size_t len = strlen(namespace);
        cap = kp_calloc(1, sizeof *cap + len + 1);
        memcpy(cap->namespace, namespace, len);
        HASH_ADD_KEYPTR(hh, caps->all, cap->namespace, len, cap);
    }
    return cap;
}

void kp_caps_finish(struct kp_caps *caps)
{
    struct kp_cap *cap;
    struct kp_cap *next;
    HASH_ITER (hh, caps->all, cap, next) {
        HASH_DEL(caps->all, cap);
        kp_free(cap);
    }
    caps->measured = false;
}

static bool has_caps(const struct kp_store *store)
{
    return store->options.max_bytes_per_namespace != 0 || store->options.max_series_per_namespace != 0;
}

static void on_share(void *user, const char *namespace, uint64_t bytes)
{
    find(user, namespace)->bytes += bytes;
}

static void measure(struct kp_store *store)
{
    struct kp_caps *caps = &store->caps;
    kp_caps_finish(caps);
    pthread_rwlock_rdlock(&store->lock);
    kp_store_each_share(store, on_share, caps);
    for (size_t i = 0; i < store->series.by_id.n; i++) {
        const struct kp_series *s = store->series.by_id.items[i];
        if (s->n_live > 0)
            find(caps, s->fields[KP_SERIES_NAMESPACE])->n_series++;
    }
    pthread_rwlock_unlock(&store->lock);
    caps->measured = true;
}

// ---- one more ----

static int check_bytes(struct kp_store *store, const struct kp_cap *cap, uint64_t bytes, struct kp_error *err)
{
    uint64_t max = store->options.max_bytes_per_namespace;
    if (max == 0 || cap->bytes + bytes <= max)
        return 0;
    __atomic_store_n(&store->caps.over, 1, __ATOMIC_RELAXED);
    if (cap->bytes + bytes <= max + max / SLACK)
        return 0;
    kp_fail(err, KP_THROTTLED,
        "namespace '%.63s' has %llu bytes of profiles, more than the %llu it may keep "
        "(--max-bytes-per-namespace), and the oldest are not gone yet: send less, or raise it",
        cap->namespace, (unsigned long long)cap->bytes, (unsigned long long)max);
    if (err)
        err->retry_after_s = WAIT_BYTES_S;
    return KP_THROTTLED;
}

static int check_series(const struct kp_store *store, const struct kp_cap *cap, struct kp_error *err)
{
    size_t max = store->options.max_series_per_namespace;
    if (max == 0 || cap->n_series < max)
        return 0;
    kp_fail(err, KP_THROTTLED,
        "namespace '%.63s' has %zu series, as many as it may (--max-series-per-namespace): use fewer values "
        "of "
        "labels, or raise it; series that are there already go on",
        cap->namespace, cap->n_series);
    if (err)
        err->retry_after_s = WAIT_SERIES_S;
    return KP_THROTTLED;
}

int kp_caps_take(struct kp_store *store, const struct kp_record *record, uint64_t bytes, bool is_new_series,
    struct kp_error *err)
{
    if (!has_caps(store))
        return 0;
    if (!store->caps.measured)
        measure(store);
    struct kp_cap *cap = find(&store->caps, record->namespace ? record->namespace : "");
    int rc = check_bytes(store, cap, bytes, err);
    if (rc == 0 && is_new_series)
        rc = check_series(store, cap, err);
    if (rc == 0) {
        cap->bytes += bytes;
        cap->n_series += is_new_series;
    }
    return rc;
}

bool kp_store_wants_retain(struct kp_store *store)
{
    return __atomic_load_n(&store->caps.over, __ATOMIC_RELAXED) != 0;
}

// ---- the oldest go ----

// Bytes that went; 0 = nothing can go now.
static uint64_t drop_some(
    struct kp_store *store, const char *namespace, uint64_t wanted, struct kp_error *err)
{
    uint64_t freed = kp_store_drop_oldest_segment(store, namespace);
    if (freed == 0)
        freed = kp_store_drop_oldest(store, namespace, wanted);
    if (freed == 0 && kp_store_active(store)->rows.n > 0 &&
        kp_store_rotate(store, err) == 0) // what is being written can go when it is closed
        freed = kp_store_drop_oldest(store, namespace, wanted);
    return freed;
}

static int shrink(struct kp_store *store, struct kp_cap *cap, int *steps, struct kp_error *err)
{
    uint64_t max = store->options.max_bytes_per_namespace;
    uint64_t goal = max - max / BELOW;
    while (cap->bytes > goal && *steps > 0) {
        struct kp_error why = {0};
        uint64_t freed = drop_some(store, cap->namespace, cap->bytes - goal, &why);
        if (freed == 0)
            return why.code != 0 ? kp_fail(err, why.code, "%s", why.text) : 0;
        cap->bytes -= freed < cap->bytes ? freed : cap->bytes;
        --*steps;
    }
    return 0;
}

int kp_caps_retain(struct kp_store *store, bool *ret_more, struct kp_error *err)
{
    struct kp_cap *cap;
    struct kp_cap *next;
    int steps = DROPS_A_STEP;
    int rc = 0;
    if (!has_caps(store))
        return 0;
    __atomic_store_n(&store->caps.over, 0, __ATOMIC_RELAXED);
    measure(store);
    uint64_t max = store->options.max_bytes_per_namespace;
    HASH_ITER (hh, store->caps.all, cap, next)
        if (rc == 0 && max != 0 && cap->bytes > max)
            rc = shrink(store, cap, &steps, err);
    *ret_more |= steps == 0;
    return rc;
}
