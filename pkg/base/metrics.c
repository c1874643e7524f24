#include "base/metrics.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/map.h"
#include "base/text.h"
#include "base/banned.h"

struct kp_metric {
    struct kp_metric_family *family;
    char *key; // label values joined by \x1f
    char *values[KP_METRIC_MAX_LABELS];
    _Atomic uint64_t bits;    // the value as a double; a histogram's sum
    _Atomic uint64_t *counts; // histogram: one a bucket and +Inf
    UT_hash_handle hh;
};

struct kp_metric_family {
    enum kp_metric_kind kind;
    char *name, *help;
    char *label_names[KP_METRIC_MAX_LABELS];
    size_t n_labels;
    const double *buckets;
    size_t n_buckets, max_series;
    struct kp_metric *cells;
    pthread_mutex_t lock; // cells; values are atomic
};

struct kp_metrics {
    KP_ARRAY(struct kp_metric_family *) families;
    KP_ARRAY(struct collector {
        void (*collect)(void *user);
        void *user;
        bool owned;
    })
    collectors;
};

const double kp_buckets_seconds[] = {
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120};
const size_t kp_buckets_seconds_n = KP_COUNT(kp_buckets_seconds);

static double load(const _Atomic uint64_t *bits)
{
    uint64_t v = atomic_load_explicit(bits, memory_order_relaxed);
    double d;
    memcpy(&d, &v, sizeof d);
    return d;
}

static uint64_t bits_of(double d)
{
    uint64_t v;
    memcpy(&v, &d, sizeof v);
    return v;
}

// ---- families and cells ----

struct kp_metrics *kp_metrics_create(void)
{
    return KP_NEW(struct kp_metrics);
}

static void cell_free(struct kp_metric *cell)
{
    for (size_t i = 0; i < KP_METRIC_MAX_LABELS; i++)
        kp_free(cell->values[i]);
    kp_free((void *)(uintptr_t)cell->counts);
    kp_free(cell->key);
    kp_free(cell);
}

static void family_free(struct kp_metric_family *family)
{
    struct kp_metric *cell, *next;
    HASH_ITER (hh, family->cells, cell, next) {
        HASH_DEL(family->cells, cell);
        cell_free(cell);
    }
    for (size_t i = 0; i < family->n_labels; i++)
        kp_free(family->label_names[i]);
    pthread_mutex_destroy(&family->lock);
    kp_free(family->name);
    kp_free(family->help);
    kp_free(family);
}

void kp_metrics_destroy(struct kp_metrics *metrics)
{
    if (metrics == NULL)
        return;
    for (size_t i = 0; i < metrics->families.n; i++)
        family_free(metrics->families.items[i]);
    for (size_t i = 0; i < metrics->collectors.n; i++)
        if (metrics->collectors.items[i].owned)
            kp_free(metrics->collectors.items[i].user);
    kp_array_free(&metrics->families);
    kp_array_free(&metrics->collectors);
    kp_free(metrics);
}

struct kp_metric_family *kp_metrics_family(struct kp_metrics *metrics, enum kp_metric_kind kind,
    const char *name, const char *help, const char *const *label_names, const double *buckets,
    size_t n_buckets, size_t max_series)
{
    if (metrics == NULL)
        return NULL;
    for (size_t i = 0; i < metrics->families.n; i++)
        if (strcmp(metrics->families.items[i]->name, name) == 0)
            return metrics->families.items[i];
    struct kp_metric_family *family = KP_NEW(struct kp_metric_family);
    family->kind = kind;
    family->name = kp_strdup(name);
    family->help = kp_strdup(help);
    for (; label_names != NULL && label_names[family->n_labels] != NULL; family->n_labels++)
        family->label_names[family->n_labels] = kp_strdup(label_names[family->n_labels]);
    family->buckets = buckets;
    family->n_buckets = n_buckets;
    family->max_series = max_series != 0 ? max_series : 1;
    pthread_mutex_init(&family->lock, NULL);
    *kp_array_add(&metrics->families) = family;
    return family;
}

static struct kp_metric *cell_new(struct kp_metric_family *family, const char *const *values, const char *key)
{
    struct kp_metric *cell = KP_NEW(struct kp_metric);
    cell->family = family;
    cell->key = kp_strdup(key);
    for (size_t i = 0; i < family->n_labels; i++)
        cell->values[i] = kp_strdup(values[i]);
    if (family->kind == KP_HISTOGRAM)
        cell->counts = kp_calloc(family->n_buckets + 1, sizeof *cell->counts);
    HASH_ADD_KEYPTR(hh, family->cells, cell->key, strlen(cell->key), cell);
    return cell;
}

static void join(struct kp_strbuf *out, const char *const *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        kp_strbuf_adds(out, values[i]);
        kp_strbuf_addc(out, '\x1f');
    }
}

static struct kp_metric *find_or_add(struct kp_metric_family *family, const char *const *values)
{
    static const char *const other[KP_METRIC_MAX_LABELS] = {"other", "other", "other", "other"};
    kp_auto_strbuf key;
    kp_strbuf_init(&key, 4096);
    join(&key, values, family->n_labels);
    struct kp_metric *cell;
    HASH_FIND_STR(family->cells, key.data, cell);
    if (cell != NULL)
        return cell;
    if (!key.overflow && HASH_COUNT(family->cells) < family->max_series)
        return cell_new(family, values, key.data);
    kp_strbuf_clear(&key);
    join(&key, other, family->n_labels);
    HASH_FIND_STR(family->cells, key.data, cell);
    return cell != NULL ? cell : cell_new(family, other, key.data);
}

struct kp_metric *kp_metric_with(struct kp_metric_family *family, const char *const *label_values)
{
    if (family == NULL)
        return NULL;
    pthread_mutex_lock(&family->lock);
    struct kp_metric *cell = find_or_add(family, label_values);
    pthread_mutex_unlock(&family->lock);
    return cell;
}

struct kp_metric *kp_counter(struct kp_metrics *metrics, const char *name, const char *help)
{
    return kp_metric_with(kp_metrics_family(metrics, KP_COUNTER, name, help, NULL, NULL, 0, 1), NULL);
}

struct kp_metric *kp_gauge(struct kp_metrics *metrics, const char *name, const char *help)
{
    return kp_metric_with(kp_metrics_family(metrics, KP_GAUGE, name, help, NULL, NULL, 0, 1), NULL);
}

// ---- values ----

void kp_metric_add(struct kp_metric *cell, double v)
{
    if (cell == NULL)
        return;
    uint64_t old = atomic_load_explicit(&cell->bits, memory_order_relaxed);
    uint64_t wanted;
    do {
        double d;
        memcpy(&d, &old, sizeof d);
        wanted = bits_of(d + v);
    } while (!atomic_compare_exchange_weak_explicit(
        &cell->bits, &old, wanted, memory_order_relaxed, memory_order_relaxed));
}

void kp_metric_inc(struct kp_metric *cell)
{
    kp_metric_add(cell, 1);
}

void kp_metric_set(struct kp_metric *cell, double v)
{
    if (cell != NULL)
        atomic_store_explicit(&cell->bits, bits_of(v), memory_order_relaxed);
}

void kp_metric_observe(struct kp_metric *cell, double v)
{
    if (cell == NULL)
        return;
    const struct kp_metric_family *family = cell->family;
    size_t i = 0;
    while (i < family->n_buckets && v > family->buckets[i])
        i++;
    atomic_fetch_add_explicit(&cell->counts[i], 1, memory_order_relaxed);
    kp_metric_add(cell, v);
}

double kp_metric_value(const struct kp_metric *cell)
{
    if (cell == NULL)
        return 0;
    if (cell->family->kind != KP_HISTOGRAM)
        return load(&cell->bits);
    uint64_t n = 0;
    for (size_t i = 0; i <= cell->family->n_buckets; i++)
        n += atomic_load_explicit(&cell->counts[i], memory_order_relaxed);
    return (double)n;
}

void kp_metrics_on_collect(struct kp_metrics *metrics, void (*collect)(void *user), void *user)
{
    if (metrics == NULL)
        return;
    *kp_array_add(&metrics->collectors) = (struct collector){collect, user, false};
}

void kp_metrics_on_collect_owned(struct kp_metrics *metrics, void (*collect)(void *user), void *user)
{
    if (metrics == NULL)
        kp_free(user);
    else
        *kp_array_add(&metrics->collectors) = (struct collector){collect, user, true};
}

// ---- text format ----

static void add_number(struct kp_strbuf *out, double v)
{
    if (isnan(v))
        kp_strbuf_adds(out, "NaN");
    else if (isinf(v))
        kp_strbuf_adds(out, v > 0 ? "+Inf" : "-Inf");
    else if (v == floor(v) && fabs(v) < 1e15)
        kp_strbuf_addf(out, "%.0f", v);
    else {
        // 15 digits read better; 17 are exact where 15 are not
        char text[40];
        snprintf(text, sizeof text, "%.15g", v);
        if (strtod(text, NULL) != v)
            snprintf(text, sizeof text, "%.17g", v);
        kp_strbuf_adds(out, text);
    }
}

static void add_escaped(struct kp_strbuf *out, const char *s, bool quotes)
{
    size_t len = strlen(s);
    for (size_t i = 0; i < len;) {
        size_t n = kp_utf8_length(s + i, len - i);
        if (s[i] == '\\' || (quotes && s[i] == '"'))
            kp_strbuf_addc(out, '\\');
        if (s[i] == '\n')
            kp_strbuf_adds(out, "\\n");
        else if (n == 0)
            kp_strbuf_adds(out, "\xef\xbf\xbd"); // one bad byte would cost the whole scrape
        else
            kp_strbuf_add(out, s + i, n);
        i += n != 0 ? n : 1;
    }
}

// {a="b",le="0.5"}, or nothing where there are no labels
static void add_labels(struct kp_strbuf *out, const struct kp_metric *cell, const double *le)
{
    const struct kp_metric_family *family = cell->family;
    if (family->n_labels == 0 && le == NULL)
        return;
    kp_strbuf_addc(out, '{');
    for (size_t i = 0; i < family->n_labels; i++) {
        kp_strbuf_addf(out, "%s%s=\"", i > 0 ? "," : "", family->label_names[i]);
        add_escaped(out, cell->values[i], true);
        kp_strbuf_addc(out, '"');
    }
    if (le != NULL) {
        kp_strbuf_addf(out, "%sle=\"", family->n_labels > 0 ? "," : "");
        add_number(out, *le);
        kp_strbuf_addc(out, '"');
    }
    kp_strbuf_addc(out, '}');
}

static void add_sample(
    struct kp_strbuf *out, const struct kp_metric *cell, const char *suffix, const double *le, double v)
{
    kp_strbuf_addf(out, "%s%s", cell->family->name, suffix);
    add_labels(out, cell, le);
    kp_strbuf_addc(out, ' ');
    add_number(out, v);
    kp_strbuf_addc(out, '\n');
}

static void add_histogram(struct kp_strbuf *out, const struct kp_metric *cell)
{
    uint64_t n = 0;
    for (size_t i = 0; i <= cell->family->n_buckets; i++) {
        double le = i < cell->family->n_buckets ? cell->family->buckets[i] : INFINITY;
        n += atomic_load_explicit(&cell->counts[i], memory_order_relaxed);
        add_sample(out, cell, "_bucket", &le, (double)n);
    }
    add_sample(out, cell, "_sum", NULL, load(&cell->bits));
    add_sample(out, cell, "_count", NULL, (double)n);
}

static void add_family(struct kp_strbuf *out, struct kp_metric_family *family)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    kp_strbuf_addf(out, "# HELP %s ", family->name);
    add_escaped(out, family->help, false);
    kp_strbuf_addf(out, "\n# TYPE %s %s\n", family->name, kinds[family->kind]);
    pthread_mutex_lock(&family->lock);
    for (const struct kp_metric *cell = family->cells; cell != NULL; cell = cell->hh.next) {
        if (family->kind == KP_HISTOGRAM)
            add_histogram(out, cell);
        else
            add_sample(out, cell, "", NULL, load(&cell->bits));
    }
    pthread_mutex_unlock(&family->lock);
}

void kp_metrics_write(struct kp_metrics *metrics, struct kp_strbuf *out)
{
    for (size_t i = 0; i < metrics->collectors.n; i++)
        metrics->collectors.items[i].collect(metrics->collectors.items[i].user);
    for (size_t i = 0; i < metrics->families.n; i++)
        add_family(out, metrics->families.items[i]);
}
