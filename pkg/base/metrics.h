// Metrics in the Prometheus text format. A family is made once and never removed; a cell is one series of it.
// Cells are thread-safe (atomic); families are made on the loop thread. A family holds at most max_series
// cells: past that all further label values share the cell with every value "other", so that outside names
// cannot grow memory.
#ifndef KP_BASE_METRICS_H
#define KP_BASE_METRICS_H

#include <stddef.h>

#include "base/strbuf.h"

enum kp_metric_kind { KP_COUNTER, KP_GAUGE, KP_HISTOGRAM };
#define KP_METRIC_MAX_LABELS 4

struct kp_metrics;
struct kp_metric_family;
struct kp_metric; // a cell

struct kp_metrics *kp_metrics_create(void);
void kp_metrics_destroy(struct kp_metrics *metrics);

// The same name gives the same family again. label_names: up to KP_METRIC_MAX_LABELS, NULL-terminated, or
// NULL. buckets (histograms only): upper bounds, ascending, +Inf is added; the array must live as long as the
// family.
struct kp_metric_family *kp_metrics_family(struct kp_metrics *metrics, enum kp_metric_kind kind,
    const char *name, const char *help, const char *const *label_names, const double *buckets,
    size_t n_buckets, size_t max_series);

// The cell for these label values (as many as names); made at first use. Never NULL, lives as long as the
// metrics.
struct kp_metric *kp_metric_with(struct kp_metric_family *family, const char *const *label_values);
// A family without labels, in one step.
struct kp_metric *kp_counter(struct kp_metrics *metrics, const char *name, const char *help);
struct kp_metric *kp_gauge(struct kp_metrics *metrics, const char *name, const char *help);

void kp_metric_add(struct kp_metric *cell, double v); // counter, gauge; cell may be NULL (nothing happens)
void kp_metric_inc(struct kp_metric *cell);
void kp_metric_set(struct kp_metric *cell, double v);     // gauge
void kp_metric_observe(struct kp_metric *cell, double v); // histogram
double kp_metric_value(const struct kp_metric *cell);     // counter, gauge; a histogram's count

// Called before each exposition, for gauges that are cheaper read than kept.
void kp_metrics_on_collect(struct kp_metrics *metrics, void (*collect)(void *user), void *user);
// The same, with memory of kp_alloc() that is freed with the metrics.
void kp_metrics_on_collect_owned(struct kp_metrics *metrics, void (*collect)(void *user), void *user);
// process_* and go-free runtime figures: CPU seconds, resident memory, descriptors, start time.
void kp_metrics_add_process(struct kp_metrics *metrics);

// text/plain; version=0.0.4
void kp_metrics_write(struct kp_metrics *metrics, struct kp_strbuf *out);

extern const double kp_buckets_seconds[]; // 1 ms .. 120 s
extern const size_t kp_buckets_seconds_n;

#endif
