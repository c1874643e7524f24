// What there is, service by service.
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/text.h"
#include "store/tier.h"
#include "base/banned.h"

struct service {
    struct kp_service_info info;
    KP_ARRAY(const char *) types; // of the series; copied into info when all are known
    char *key;
    UT_hash_handle hh;
};

struct per_series {
    uint64_t n, bytes;
    int64_t first_ms, last_ms;
};

// A segment of which a part is forgotten, and not marked yet: counted row by row, before the lock is taken.
struct partly {
    struct kp_sealed *sealed;
    struct per_series *runs;
};
struct parts {
    KP_ARRAY(struct partly) list;
};

static void widen(struct per_series *c, int64_t first_ms, int64_t last_ms)
{
    if (c->n == 0 || first_ms < c->first_ms)
        c->first_ms = first_ms;
    if (c->n == 0 || last_ms > c->last_ms)
        c->last_ms = last_ms;
}

static void count_series(struct kp_store *store, struct per_series *counts, uint32_t first, uint32_t n)
{
    int64_t now_ms = kp_store_now(store);
    for (size_t f = 0; f < store->files.n; f++) {
        const struct kp_logfile *file = store->files.items[f];
        for (size_t i = 0; file->n_live > 0 && i < file->rows.n; i++) {
            const struct kp_row *row = &file->rows.items[i];
            if (row->series - first >= n || !kp_store_row_live(store, file, i, now_ms))
                continue;
            struct per_series *c = &counts[row->series - first];
            widen(c, row->start_ms, row->start_ms);
            c->n++;
            c->bytes += row->body_len;
        }
    }
}

// ---- what is forgotten in part ----

static bool is_partly_forgotten(const struct kp_store *store, const struct kp_sealed *sealed)
{
    const struct kp_segment *s = sealed->segment;
    int64_t before_ms = __atomic_load_n(&sealed->forgotten_ms, __ATOMIC_RELAXED);
    return store->forgotten.pending_ms != 0 &&
           kp_forgotten_is_before(before_ms, s->min_start_ms, s->min_received_ms);
}

struct counting {
    struct kp_store *store;
    struct kp_sealed *sealed;
    struct per_series *count;
    int64_t now_ms;
};

static int count_row(void *user, uint32_t at, const struct kp_segment_row *row)
{
    struct counting *c = user;
    if (!kp_sealed_row_live(c->store, c->sealed, at, row, c->now_ms))
        return 0;
    widen(c->count, row->start_ms, row->start_ms);
    c->count->n++;
    c->count->bytes += row->body_len;
    return 0;
}

static void count_part(struct kp_store *store, struct partly *part)
{
    const struct kp_segment *s = part->sealed->segment;
    part->runs = KP_NEW_ARRAY(struct per_series, (size_t)s->n_runs + 1);
    for (uint32_t r = 0; r < s->n_runs; r++) {
        struct counting counting = {store, part->sealed, &part->runs[r], kp_store_now(store)};
        (void)kp_sealed_each( // what cannot be read is not counted
            part->sealed, s->runs[r].first_row, s->runs[r].n_rows, count_row, &counting, NULL);
    }
}

static void count_parts(struct kp_store *store, struct parts *parts)
{
    pthread_rwlock_rdlock(&store->lock);
    for (size_t i = 0; i < store->sealed.n; i++)
        if (is_partly_forgotten(store, store->sealed.items[i]) &&
            !kp_sealed_is_forgotten(store->sealed.items[i]))
            *kp_array_add(&parts->list) = (struct partly){.sealed = kp_sealed_ref(store->sealed.items[i])};
    pthread_rwlock_unlock(&store->lock);
    for (size_t i = 0; i < parts->list.n; i++)
        count_part(store, &parts->list.items[i]);
}

static void parts_finish(struct parts *parts)
{
    for (size_t i = 0; i < parts->list.n; i++) {
        kp_sealed_unref(parts->list.items[i].sealed);
        kp_free(parts->list.items[i].runs);
    }
    kp_array_free(&parts->list);
}

// One that became so since is left out.
static void add_part(const struct parts *parts, const struct kp_sealed *sealed, struct per_series *counts,
    uint32_t first, uint32_t n)
{
    for (size_t i = 0; i < parts->list.n; i++) {
        const struct partly *part = &parts->list.items[i];
        for (uint32_t r = 0; part->sealed == sealed && r < sealed->segment->n_runs; r++) {
            const struct per_series *run = &part->runs[r];
            uint32_t at = sealed->segment->runs[r].series - first;
            if (at >= n || run->n == 0)
                continue;
            widen(&counts[at], run->first_ms, run->last_ms);
            counts[at].n += run->n;
            counts[at].bytes += run->bytes;
        }
    }
}

// From what is in memory: where some of a series are dead, bytes are the part of the living by number.
static void count_sealed(
    struct kp_store *store, const struct parts *parts, struct per_series *counts, uint32_t first, uint32_t n)
{
    for (size_t i = 0; i < store->sealed.n; i++) {
        const struct kp_segment *s = store->sealed.items[i]->segment;
        if (kp_sealed_is_forgotten(store->sealed.items[i]))
            continue;
        if (is_partly_forgotten(store, store->sealed.items[i])) {
            add_part(parts, store->sealed.items[i], counts, first, n);
            continue;
        }
        for (uint32_t r = 0; r < s->n_runs; r++) {
            const struct kp_segment_run *run = &s->runs[r];
            uint32_t live = kp_sealed_n_live(store->sealed.items[i], run->first_row, run->n_rows);
            if (run->series - first >= n || live == 0)
                continue;
            struct per_series *c = &counts[run->series - first];
            widen(c, run->min_start_ms, run->max_start_ms);
            c->n += live;
            c->bytes +=
                run->body_bytes / run->n_rows * live + run->body_bytes % run->n_rows * live / run->n_rows;
        }
    }
}

static void add_type(struct service *service, const char *type)
{
    for (size_t i = 0; i < service->types.n; i++)
        if (kp_streq(service->types.items[i], type))
            return;
    *kp_array_add(&service->types) = type;
}

static void fold(struct service **all, const struct kp_series *s, const struct per_series *c)
{
    const char *namespace = s->fields[KP_SERIES_NAMESPACE];
    const char *name_ = s->fields[KP_SERIES_SERVICE];
    kp_auto_free char *key = kp_asprintf("%s/%s", namespace, name_);
    struct service *service;
    HASH_FIND_STR(*all, key, service);
    if (service == NULL) {
        service = KP_NEW(struct service);
        service->key = kp_take(key);
        service->info = (struct kp_service_info){.namespace = kp_strdup(namespace),
            .service = kp_strdup(name_),
            .first_ms = c->first_ms,
            .last_ms = c->last_ms};
        HASH_ADD_KEYPTR(hh, *all, service->key, strlen(service->key), service);
    }
    struct kp_service_info *info = &service->info;
    info->n_profiles += c->n;
    info->bytes += c->bytes;
    info->first_ms = c->first_ms < info->first_ms ? c->first_ms : info->first_ms;
    info->last_ms = c->last_ms > info->last_ms ? c->last_ms : info->last_ms;
    add_type(service, s->fields[KP_SERIES_TYPE]);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static char *join(const char **items, size_t n)
{
    struct kp_strbuf buf;
    kp_strbuf_init(&buf, 1 << 20);
    qsort(items, n, sizeof *items, by_text);
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            kp_strbuf_addc(&buf, ',');
        kp_strbuf_adds(&buf, items[i]);
    }
    return kp_strbuf_take(&buf, NULL);
}

static struct service *gather_services(
    struct kp_store *store, const struct parts *parts, const char *namespace)
{
    struct service *all = NULL;
    const struct kp_series_table *table = &store->series;
    if (table->by_id.n == 0)
        return NULL;
    uint32_t first = table->by_id.items[0]->id;
    uint32_t n = table->by_id.items[table->by_id.n - 1]->id - first + 1;
    kp_auto_free struct per_series *counts = KP_NEW_ARRAY(struct per_series, n);
    count_series(store, counts, first, n);
    count_sealed(store, parts, counts, first, n);
    for (size_t i = 0; i < table->by_id.n; i++) {
        const struct kp_series *s = table->by_id.items[i];
        if (counts[s->id - first].n > 0 &&
            (namespace == NULL || kp_streq(namespace, s->fields[KP_SERIES_NAMESPACE])))
            fold(&all, s, &counts[s->id - first]);
    }
    for (struct service *s = all; s; s = s->hh.next) // while the series still stand
        s->info.types = join(s->types.items, s->types.n);
    return all;
}

static int by_name(const struct service *a, const struct service *b)
{
    int c = strcmp(a->info.namespace, b->info.namespace);
    return c != 0 ? c : strcmp(a->info.service, b->info.service);
}

int kp_store_services(struct kp_store *store, const char *namespace,
    void (*each)(void *user, const struct kp_service_info *info), void *user, struct kp_error *err)
{
    struct parts parts = {0};
    (void)err;
    count_parts(store, &parts);
    pthread_rwlock_rdlock(&store->lock);
    struct service *all = gather_services(store, &parts, namespace);
    pthread_rwlock_unlock(&store->lock);
    parts_finish(&parts);
    HASH_SORT(all, by_name);
    struct service *s;
    struct service *next;
    HASH_ITER (hh, all, s, next) {
        each(user, &s->info);
        HASH_DEL(all, s);
        kp_free((char *)(uintptr_t)s->info.namespace);
        kp_free((char *)(uintptr_t)s->info.service);
        kp_free((char *)(uintptr_t)s->info.types);
        kp_array_free(&s->types);
        kp_free(s->key);
        kp_free(s);
    }
    return 0;
}
