// Reading beside the writer: rows under the lock, files without it.
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/text.h"
#include "store/id.h"
#include "store/state.h"
#include "base/banned.h"

#define DEFAULT_LIMIT 1000
#define MAX_LIMIT     10000

struct hit {
    struct kp_logfile *file; // referenced once the look-up is over
    struct kp_row row;
};

static uint64_t number_of(const struct hit *hit)
{
    return hit->file->head.first + hit->row.number_delta;
}

static void quarantine(struct kp_store *store, const struct hit *hit)
{
    struct kp_logfile *file;
    size_t at;
    pthread_rwlock_wrlock(&store->lock);
    if (kp_store_locate(store, number_of(hit), &file, &at))
        kp_store_mark(store, file, at, KP_ROW_BAD);
    pthread_rwlock_unlock(&store->lock);
}

static void name(const struct hit *hit, struct kp_record *record)
{
    char text[KP_ID_TEXT];
    const struct kp_id id = {
        .start_ms = hit->row.start_ms, .series = hit->row.series, .number = number_of(hit)};
    kp_free(record->id);
    record->id = kp_strdup(kp_id_format(text, &id));
}

// ---- one ----

static bool find(struct kp_store *store, const char *id, struct hit *ret)
{
    struct kp_id parsed;
    size_t at;
    if (!kp_id_parse(id, &parsed))
        return false;
    pthread_rwlock_rdlock(&store->lock);
    bool found = kp_store_locate(store, parsed.number, &ret->file, &at) &&
                 kp_store_row_live(store, ret->file, at, kp_store_now(store)) &&
                 ret->file->rows.items[at].series == parsed.series &&
                 ret->file->rows.items[at].start_ms == parsed.start_ms;
    if (found) {
        ret->row = ret->file->rows.items[at];
        kp_logfile_ref(ret->file);
    }
    pthread_rwlock_unlock(&store->lock);
    return found;
}

int kp_store_get(struct kp_store *store, const char *id, struct kp_record *ret_record,
    struct kp_blob **ret_body, struct kp_error *err)
{
    struct hit hit;
    if (!find(store, id, &hit)) {
        char shown[64];
        return kp_fail(
            err, KP_NOT_FOUND, "profile '%s' is not here", kp_printable(shown, sizeof shown, id, strlen(id)));
    }
    int rc = kp_logfile_read(hit.file, &hit.row, ret_record, ret_body, err);
    if (rc == 0 && ret_record)
        name(&hit, ret_record);
    if (rc == KP_CORRUPT)
        quarantine(store, &hit);
    kp_logfile_unref(hit.file);
    return rc;
}

// ---- many ----

// The best `cap` hits so far in a heap whose top is the worst of them.
struct look {
    struct kp_store *store;
    const struct kp_store_query *query;
    int64_t now_ms;
    bool has_cursor;
    struct kp_id after;
    uint32_t first_series; // bits[i] stands for series first_series + i
    uint64_t *bits;
    uint32_t n_bits;
    struct hit *heap;
    size_t n, cap;
};

// Whether a comes after b in the order asked for.
static bool later(const struct look *look, int64_t a_ms, uint64_t a_number, int64_t b_ms, uint64_t b_number)
{
    bool after = a_ms != b_ms ? a_ms > b_ms : a_number > b_number;
    bool same = a_ms == b_ms && a_number == b_number;
    return !same && after != look->query->newest_first;
}

static bool hit_later(const struct look *look, const struct hit *a, const struct hit *b)
{
    return later(look, a->row.start_ms, number_of(a), b->row.start_ms, number_of(b));
}

static void sift_down(const struct look *look, size_t at, size_t n)
{
    for (;;) {
        size_t worst = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < n; child++)
            if (hit_later(look, &look->heap[child], &look->heap[worst]))
                worst = child;
        if (worst == at)
            return;
        struct hit t = look->heap[at];
        look->heap[at] = look->heap[worst];
        look->heap[worst] = t;
        at = worst;
    }
}

static void offer(struct look *look, const struct hit *hit)
{
    if (look->n == look->cap) {
        if (!hit_later(look, &look->heap[0], hit))
            return;
        look->heap[0] = *hit;
        sift_down(look, 0, look->n);
        return;
    }
    size_t at = look->n++;
    look->heap[at] = *hit;
    while (at > 0 && hit_later(look, &look->heap[at], &look->heap[(at - 1) / 2])) {
        struct hit t = look->heap[at];
        look->heap[at] = look->heap[(at - 1) / 2];
        look->heap[(at - 1) / 2] = t;
        at = (at - 1) / 2;
    }
}

// Heap to order asked for.
static void sort(struct look *look)
{
    for (size_t end = look->n; end > 1; end--) {
        struct hit t = look->heap[0];
        look->heap[0] = look->heap[end - 1];
        look->heap[end - 1] = t;
        sift_down(look, 0, end - 1);
    }
}

static bool series_matches(const struct kp_store_query *q, const struct kp_series *s)
{
    return s->n_live > 0 &&
           (q->namespace == NULL || kp_streq(q->namespace, s->fields[KP_SERIES_NAMESPACE])) &&
           (q->service == NULL || kp_streq(q->service, s->fields[KP_SERIES_SERVICE])) &&
           (q->type == NULL || kp_streq(q->type, s->fields[KP_SERIES_TYPE])) &&
           (q->selector == NULL || kp_selector_matches_fn(q->selector, kp_series_lookup, s));
}

// Decides each series once. False if none matches.
static bool choose_series(struct look *look)
{
    const struct kp_series_table *table = &look->store->series;
    if (table->by_id.n == 0)
        return false;
    look->first_series = table->by_id.items[0]->id;
    look->n_bits = table->by_id.items[table->by_id.n - 1]->id - look->first_series + 1;
    look->bits = KP_NEW_ARRAY(uint64_t, look->n_bits / 64 + 1);
    bool any = false;
    for (size_t i = 0; i < table->by_id.n; i++) {
        const struct kp_series *s = table->by_id.items[i];
        uint32_t bit = s->id - look->first_series;
        if (series_matches(look->query, s)) {
            look->bits[bit / 64] |= UINT64_C(1) << (bit % 64);
            any = true;
        }
    }
    return any;
}

static void look_at_file(struct look *look, struct kp_logfile *file)
{
    int64_t from = look->query->from_ms;
    int64_t to = look->query->to_ms != 0 ? look->query->to_ms : INT64_MAX;
    if (file->n_live == 0 || file->max_start_ms < from || file->min_start_ms >= to)
        return;
    for (size_t i = 0; i < file->rows.n; i++) {
        const struct kp_row *row = &file->rows.items[i];
        uint32_t bit = row->series - look->first_series;
        if (row->start_ms < from || row->start_ms >= to || bit >= look->n_bits ||
            (look->bits[bit / 64] >> (bit % 64) & 1) == 0)
            continue;
        struct hit hit = {file, *row};
        if (look->has_cursor &&
            !later(look, row->start_ms, number_of(&hit), look->after.start_ms, look->after.number))
            continue;
        if (kp_store_row_live(look->store, file, i, look->now_ms))
            offer(look, &hit);
    }
}

static void look_up(struct look *look)
{
    struct kp_store *store = look->store;
    pthread_rwlock_rdlock(&store->lock);
    if (choose_series(look))
        for (size_t i = 0; i < store->files.n; i++)
            look_at_file(look, store->files.items[i]);
    sort(look);
    for (size_t i = 0; i < look->n; i++)
        kp_logfile_ref(look->heap[i].file);
    pthread_rwlock_unlock(&store->lock);
    kp_free(look->bits);
}

// Hands out at most limit records; the cursor is the last one looked at when more follow.
static int hand_out(struct look *look, size_t limit, bool (*each)(void *user, const struct kp_record *record),
    void *user, char **ret_cursor, struct kp_error *err)
{
    for (size_t i = 0; i < look->n && i < limit; i++) {
        struct kp_record record;
        int rc = kp_logfile_read_record(look->heap[i].file, &look->heap[i].row, &record, err);
        if (rc == KP_CORRUPT) {
            quarantine(look->store, &look->heap[i]);
            kp_error_clear(err);
            continue;
        }
        if (rc != 0)
            return rc;
        name(&look->heap[i], &record);
        bool more = each(user, &record);
        kp_record_finish(&record);
        if (!more)
            limit = i + 1;
    }
    if (look->n > limit && limit > 0) {
        char text[KP_ID_TEXT];
        const struct hit *last = &look->heap[limit - 1];
        const struct kp_id at = {
            .start_ms = last->row.start_ms, .series = last->row.series, .number = number_of(last)};
        *ret_cursor = kp_strdup(kp_id_format(text, &at));
    }
    return 0;
}

int kp_store_list(struct kp_store *store, const struct kp_store_query *query,
    bool (*each)(void *user, const struct kp_record *record), void *user, char **ret_cursor,
    struct kp_error *err)
{
    size_t limit = query->limit == 0 ? DEFAULT_LIMIT : query->limit > MAX_LIMIT ? MAX_LIMIT : query->limit;
    struct look look = {.store = store, .query = query, .now_ms = kp_store_now(store), .cap = limit + 1};
    *ret_cursor = NULL;
    if (query->cursor && query->cursor[0]) {
        if (!kp_id_parse(query->cursor, &look.after))
            return kp_fail(err, KP_INVALID, "the cursor is not one of ours; leave it out to start again");
        look.has_cursor = true;
    }
    look.heap = KP_NEW_ARRAY(struct hit, look.cap);
    look_up(&look);
    int rc = hand_out(&look, limit, each, user, ret_cursor, err);
    for (size_t i = 0; i < look.n; i++)
        kp_logfile_unref(look.heap[i].file);
    kp_free(look.heap);
    return rc;
}

// ---- services ----

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

static void count_series(struct kp_store *store, struct per_series *counts, uint32_t first, uint32_t n)
{
    int64_t now_ms = kp_store_now(store);
    for (size_t f = 0; f < store->files.n; f++) {
        const struct kp_logfile *file = store->files.items[f];
        for (size_t i = 0; i < file->rows.n; i++) {
            const struct kp_row *row = &file->rows.items[i];
            if (row->series - first >= n || !kp_store_row_live(store, file, i, now_ms))
                continue;
            struct per_series *c = &counts[row->series - first];
            if (c->n == 0 || row->start_ms < c->first_ms)
                c->first_ms = row->start_ms;
            if (c->n == 0 || row->start_ms > c->last_ms)
                c->last_ms = row->start_ms;
            c->n++;
            c->bytes += row->body_len;
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

static struct service *gather_services(struct kp_store *store, const char *namespace)
{
    struct service *all = NULL;
    const struct kp_series_table *table = &store->series;
    if (table->by_id.n == 0)
        return NULL;
    uint32_t first = table->by_id.items[0]->id;
    uint32_t n = table->by_id.items[table->by_id.n - 1]->id - first + 1;
    kp_auto_free struct per_series *counts = KP_NEW_ARRAY(struct per_series, n);
    count_series(store, counts, first, n);
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
    (void)err;
    pthread_rwlock_rdlock(&store->lock);
    struct service *all = gather_services(store, namespace);
    pthread_rwlock_unlock(&store->lock);
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
