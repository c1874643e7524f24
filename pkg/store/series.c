#include "store/series.h"

#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/text.h"
#include "base/banned.h"

static const struct {
    size_t offset;
    const char *selector; // name in selectors; NULL = none
} fields[KP_SERIES_FIELDS] = {
    [KP_SERIES_NAMESPACE] = {offsetof(struct kp_record, namespace), "k8s.namespace"},
    [KP_SERIES_SERVICE] = {offsetof(struct kp_record, service), NULL},
    [KP_SERIES_TYPE] = {offsetof(struct kp_record, type), NULL},
    [KP_SERIES_FORMAT] = {offsetof(struct kp_record, format), NULL},
    [KP_SERIES_POD] = {offsetof(struct kp_record, pod), "k8s.pod"},
    [KP_SERIES_POD_UID] = {offsetof(struct kp_record, pod_uid), "k8s.pod.uid"},
    [KP_SERIES_CONTAINER] = {offsetof(struct kp_record, container), "k8s.container"},
    [KP_SERIES_NODE] = {offsetof(struct kp_record, node), "k8s.node"},
    [KP_SERIES_WORKLOAD_KIND] = {offsetof(struct kp_record, workload_kind), "k8s.workload.kind"},
    [KP_SERIES_WORKLOAD_NAME] = {offsetof(struct kp_record, workload_name), "k8s.workload.name"},
    [KP_SERIES_REVISION] = {offsetof(struct kp_record, revision), "k8s.revision"},
    [KP_SERIES_VERSION] = {offsetof(struct kp_record, version), "version"},
    [KP_SERIES_IMAGE_DIGEST] = {offsetof(struct kp_record, image_digest), "k8s.image.digest"},
    [KP_SERIES_WORKLOAD] = {SIZE_MAX, "k8s.workload"},
};

static const char *field_of(const struct kp_record *record, size_t i)
{
    if (fields[i].offset == SIZE_MAX)
        return "";
    const char *s;
    memcpy(&s, (const char *)record + fields[i].offset, sizeof s);
    return s ? s : "";
}

void kp_series_hash(const struct kp_record *record, uint64_t ret[2])
{
    static const struct kp_labels none;
    uint64_t labels = record->labels ? record->labels->hash : 0;
    size_t n = record->labels ? record->labels->n : none.n;
    for (uint64_t k = 0; k < 2; k++) {
        uint64_t h = k;
        for (size_t i = 0; i < KP_SERIES_FIELDS; i++)
            h = kp_hash64_str(field_of(record, i), kp_hash64_mix(h, i));
        h = kp_hash64_mix(h, n == 0 ? 0 : labels);
        for (size_t i = 0; i < n; i++) { // labels.hash alone would be the weak half
            h = kp_hash64_str(record->labels->items[i].key, h);
            h = kp_hash64_str(record->labels->items[i].value, h);
        }
        ret[k] = h;
    }
}

struct kp_series *kp_series_find(const struct kp_series_table *table, const uint64_t hash[2])
{
    struct kp_series *found = NULL;
    HASH_FIND(hh, table->by_hash, hash, sizeof found->hash, found);
    return found;
}

static size_t position(const struct kp_series_table *table, uint32_t id)
{
    size_t low = 0;
    size_t high = table->by_id.n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (table->by_id.items[mid]->id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

struct kp_series *kp_series_of_id(const struct kp_series_table *table, uint32_t id)
{
    size_t at = position(table, id);
    return at < table->by_id.n && table->by_id.items[at]->id == id ? table->by_id.items[at] : NULL;
}

ptrdiff_t kp_series_position(const struct kp_series_table *table, uint32_t id)
{
    size_t at = position(table, id);
    return at < table->by_id.n && table->by_id.items[at]->id == id ? (ptrdiff_t)at : -1;
}

void kp_series_rollup_hash(const struct kp_series *series, uint64_t ret[2])
{
    for (uint64_t k = 0; k < 2; k++) {
        uint64_t h = k;
        for (size_t i = 0; i < KP_SERIES_FIELDS; i++)
            if (i != KP_SERIES_POD && i != KP_SERIES_POD_UID && i != KP_SERIES_NODE)
                h = kp_hash64_str(series->fields[i], kp_hash64_mix(h, i));
        for (size_t i = 0; i < series->labels->n; i++) {
            h = kp_hash64_str(series->labels->items[i].key, h);
            h = kp_hash64_str(series->labels->items[i].value, h);
        }
        ret[k] = h;
    }
    ret[0] |= 1; // zeroes mean none
}

struct kp_series *kp_series_make(const struct kp_record *record)
{
    const char *kind = field_of(record, KP_SERIES_WORKLOAD_KIND);
    const char *name = field_of(record, KP_SERIES_WORKLOAD_NAME);
    kp_auto_free char *workload = name[0] ? kp_asprintf("%s/%s", kind, name) : kp_strdup("");
    size_t len = strlen(workload) + 1;
    for (size_t i = 0; i < KP_SERIES_WORKLOAD; i++)
        len += strlen(field_of(record, i)) + 1;
    struct kp_series *s = kp_calloc(1, sizeof *s + len);
    char *p = s->text;
    for (size_t i = 0; i < KP_SERIES_FIELDS; i++) {
        const char *text = i == KP_SERIES_WORKLOAD ? workload : field_of(record, i);
        size_t n = strlen(text) + 1;
        memcpy(p, text, n);
        s->fields[i] = p;
        p += n;
    }
    s->labels = kp_labels_copy(record->labels);
    return s;
}

// ---- what they take of memory ----

#define OWN_BYTES   (sizeof(struct kp_series) + 64) // and its places in the tables
#define LABEL_BYTES (sizeof(struct kp_label) + 48)  // and what malloc takes for its texts

static uint64_t bytes_of(const struct kp_record *record)
{
    uint64_t bytes = OWN_BYTES;
    for (size_t i = 0; i < KP_SERIES_WORKLOAD; i++) {
        const char *text;
        memcpy(&text, (const char *)record + fields[i].offset, sizeof text);
        bytes += text ? strlen(text) + 1 : 1;
    }
    for (size_t i = 0; record->labels && i < record->labels->n; i++)
        bytes += LABEL_BYTES + strlen(record->labels->items[i].key) + strlen(record->labels->items[i].value);
    return bytes;
}

int kp_series_fits(const struct kp_series_table *table, const struct kp_record *record, uint64_t max_bytes,
    struct kp_error *err)
{
    const char *name = record->namespace ? record->namespace : "";
    const struct kp_share *share = kp_share_find(table->shares, name);
    uint64_t bytes = bytes_of(record);
    int code = 0;
    if (table->bytes + bytes > max_bytes + max_bytes / 8)
        code = kp_fail(err, KP_UNAVAILABLE,
            "there are %zu series, whose names and labels take %llu MiB of memory, as much as there may be: "
            "shorten --retention, or use fewer values of labels; series that are there already go on",
            table->by_id.n, (unsigned long long)(table->bytes >> 20));
    else if (share != NULL && !kp_share_fits(share->bytes, bytes, table->bytes, max_bytes))
        code = kp_fail(err, KP_THROTTLED,
            "namespace '%.63s' has %zu series, whose names and labels take %llu MiB of memory, as much as "
            "it may have now (what is left is kept for others): use fewer or shorter values of labels; "
            "series that are there already go on",
            name, share->n, (unsigned long long)(share->bytes >> 20));
    if (code == KP_THROTTLED && err)
        err->retry_after_s = 300;
    return code;
}

struct kp_series *kp_series_add(struct kp_series_table *table, const struct kp_record *record, uint32_t id)
{
    struct kp_series *s = kp_series_make(record);
    kp_series_hash(record, s->hash);
    if (table->next_id == 0)
        table->next_id = 1;
    s->id = id != 0 ? id : table->next_id;
    if (s->id >= table->next_id)
        table->next_id = s->id + 1;
    s->hashed = kp_series_find(table, s->hash) == NULL;
    if (s->hashed)
        HASH_ADD(hh, table->by_hash, hash, sizeof s->hash, s);
    size_t at = position(table, s->id);
    (void)kp_array_add(&table->by_id);
    struct kp_series **items = table->by_id.items;
    memmove(items + at + 1, items + at, (table->by_id.n - 1 - at) * sizeof(struct kp_series *));
    items[at] = s;
    s->bytes = bytes_of(record);
    kp_share_enter(&table->shares, s->fields[KP_SERIES_NAMESPACE], s->bytes);
    table->bytes += s->bytes;
    return s;
}

struct kp_series *kp_series_copy(const struct kp_series *series)
{
    const char *last = series->fields[KP_SERIES_FIELDS - 1];
    struct kp_series *s = kp_memdup(
        series, offsetof(struct kp_series, text) + (size_t)(last - series->text) + strlen(last) + 1);
    for (size_t i = 0; i < KP_SERIES_FIELDS; i++)
        s->fields[i] = s->text + (series->fields[i] - series->text);
    s->labels = kp_labels_copy(series->labels);
    s->hashed = false;
    return s;
}

void kp_series_free(struct kp_series *s)
{
    kp_labels_destroy(s->labels);
    kp_free(s);
}

void kp_series_remove(struct kp_series_table *table, uint32_t id)
{
    size_t at = position(table, id);
    if (at == table->by_id.n || table->by_id.items[at]->id != id)
        return;
    struct kp_series **items = table->by_id.items;
    struct kp_series *s = items[at];
    memmove(items + at, items + at + 1, (table->by_id.n - 1 - at) * sizeof(struct kp_series *));
    table->by_id.n--;
    if (s->hashed)
        HASH_DEL(table->by_hash, s);
    kp_share_leave(&table->shares, kp_share_find(table->shares, s->fields[KP_SERIES_NAMESPACE]), s->bytes);
    table->bytes -= s->bytes;
    kp_series_free(s);
}

void kp_series_table_finish(struct kp_series_table *table)
{
    HASH_CLEAR(hh, table->by_hash);
    for (size_t i = 0; i < table->by_id.n; i++)
        kp_series_free(table->by_id.items[i]);
    kp_array_free(&table->by_id);
    kp_share_free_all(&table->shares);
}

void kp_series_record(const struct kp_series *series, struct kp_record *ret)
{
    kp_record_init(ret);
    for (size_t i = 0; i < KP_SERIES_WORKLOAD; i++) {
        if (series->fields[i][0] == '\0')
            continue;
        char *text = kp_strdup(series->fields[i]);
        memcpy((char *)ret + fields[i].offset, &text, sizeof text);
    }
    ret->labels = kp_labels_copy(series->labels);
}

const char *kp_series_field_name(enum kp_series_field field)
{
    return fields[field].selector;
}

// "k8s.pod|pod": the system field, or where it is not set the label.
static const char *look_up_first(const struct kp_series *series, const char *key, const char *bar)
{
    char field[32];
    size_t len = (size_t)(bar - key);
    if (len >= sizeof field)
        return NULL;
    memcpy(field, key, len);
    field[len] = '\0';
    const char *found = kp_series_lookup(series, field);
    return found ? found : kp_labels_get(series->labels, bar + 1);
}

const char *kp_series_lookup(const void *user, const char *key)
{
    const struct kp_series *series = user;
    const char *bar = kp_starts_with(key, "k8s.") ? strchr(key, '|') : NULL;
    if (bar)
        return look_up_first(series, key, bar);
    if (key[0] == 'k' || key[0] == 'v') {
        for (size_t i = 0; i < KP_SERIES_FIELDS; i++)
            if (fields[i].selector && kp_streq(fields[i].selector, key) && series->fields[i][0])
                return series->fields[i];
    }
    if (kp_starts_with(key, "k8s."))
        return NULL; // a label of that name would be somebody posing as the system
    return kp_labels_get(series->labels, key);
}
