// The index: SQLite in WAL mode with a row per series, per closed log file and per segment. Everything in it
// can be made again from the logs and segments, so a broken one is put aside and rebuilt. Writer thread only.
// Private to this module.
#ifndef KP_STORE_INDEX_H
#define KP_STORE_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "store/series.h"

struct kp_index;

// *ret_fresh: it was not there, or broken; the caller then reads the logs instead.
KP_MUST_CHECK int kp_index_open(
    const char *path, struct kp_index **ret, bool *ret_fresh, struct kp_error *err);
void kp_index_close(struct kp_index *index); // NULL is fine
// Whether damage was found since it was opened, or its file is not there any more: what is noted in it from
// now on is not found again.
bool kp_index_is_lost(const struct kp_index *index);

KP_MUST_CHECK int kp_index_load_series(
    struct kp_index *index, struct kp_series_table *table, struct kp_error *err);
// Whether this log file was closed with this many bytes: only then its sidecar is believed.
bool kp_index_log_closed(struct kp_index *index, uint64_t number, uint64_t bytes);
// Whether this segment was noted: only then its series are in the index and its rows marked in the logs.
bool kp_index_has_segment(struct kp_index *index, const char *name, uint64_t bytes);
KP_MUST_CHECK int kp_index_list_segments(
    struct kp_index *index, void (*each)(void *user, const char *name), void *user, struct kp_error *err);

// Changes are collected between begin and commit. durable: the commit reaches the disk, with all commits
// before it.
KP_MUST_CHECK int kp_index_begin(struct kp_index *index, struct kp_error *err);
KP_MUST_CHECK int kp_index_put_series(
    struct kp_index *index, const struct kp_series *series, struct kp_error *err);
KP_MUST_CHECK int kp_index_remove_series(struct kp_index *index, uint32_t id, struct kp_error *err);
KP_MUST_CHECK int kp_index_close_log(
    struct kp_index *index, uint64_t number, uint64_t bytes, struct kp_error *err);
KP_MUST_CHECK int kp_index_remove_log(struct kp_index *index, uint64_t number, struct kp_error *err);
KP_MUST_CHECK int kp_index_put_segment(
    struct kp_index *index, const char *name, uint64_t bytes, struct kp_error *err);
KP_MUST_CHECK int kp_index_remove_segment(struct kp_index *index, const char *name, struct kp_error *err);
KP_MUST_CHECK int kp_index_commit(struct kp_index *index, bool durable, struct kp_error *err);
void kp_index_rollback(struct kp_index *index);

#endif
