// Series: what profiles of one origin share. All that selectors can ask for is part of the identity, so a
// selector is decided once per series and never per profile. Private to this module.
#ifndef KP_STORE_SERIES_H
#define KP_STORE_SERIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/array.h"
#include "base/map.h"
#include "base/selector.h"
#include "base/share.h"
#include "record/record.h"

enum kp_series_field {
    KP_SERIES_NAMESPACE,
    KP_SERIES_SERVICE,
    KP_SERIES_TYPE,
    KP_SERIES_FORMAT,
    KP_SERIES_POD,
    KP_SERIES_POD_UID,
    KP_SERIES_CONTAINER,
    KP_SERIES_NODE,
    KP_SERIES_WORKLOAD_KIND,
    KP_SERIES_WORKLOAD_NAME,
    KP_SERIES_REVISION,
    KP_SERIES_VERSION,
    KP_SERIES_IMAGE_DIGEST,
    KP_SERIES_WORKLOAD, // "Deployment/checkout"; made here
    KP_SERIES_FIELDS
};

struct kp_series {
    uint32_t id;
    uint64_t hash[2];                     // of the identity
    const char *fields[KP_SERIES_FIELDS]; // never NULL; point into text
    struct kp_labels *labels;
    uint64_t n_live; // profiles that can be read
    uint64_t bytes;  // of memory, about
    bool hashed;     // found by its identity; false for an older id of the same
    UT_hash_handle hh;
    char text[];
};

struct kp_series_table {
    uint64_t bytes;          // of memory, about
    struct kp_share *shares; // of namespaces
    struct kp_series *by_hash;
    KP_ARRAY(struct kp_series *) by_id; // ascending
    uint32_t next_id;
};

// One in no table, without id and hash; free with kp_series_free().
struct kp_series *kp_series_make(const struct kp_record *record);
void kp_series_hash(const struct kp_record *record, uint64_t ret[2]);
struct kp_series *kp_series_find(const struct kp_series_table *table, const uint64_t hash[2]);
struct kp_series *kp_series_of_id(const struct kp_series_table *table, uint32_t id); // NULL if unknown
ptrdiff_t kp_series_position(const struct kp_series_table *table, uint32_t id);      // in by_id, or -1
// What series share whose profiles may be added up in advance: all but pod and node.
void kp_series_rollup_hash(const struct kp_series *series, uint64_t ret[2]);
// id 0 = the next one. An identity that is there already keeps its id for new profiles.
struct kp_series *kp_series_add(struct kp_series_table *table, const struct kp_record *record, uint32_t id);
void kp_series_remove(struct kp_series_table *table, uint32_t id);
// Whether one more may be had: names and labels are in memory. All together are meant to have max_bytes, of
// which no namespace may take all (base/share.h): KP_THROTTLED with a sentence. However many namespaces there
// are, it is never more than an eighth above: KP_UNAVAILABLE, it is nobody's own limit.
KP_MUST_CHECK int kp_series_fits(const struct kp_series_table *table, const struct kp_record *record,
    uint64_t max_bytes, struct kp_error *err);
struct kp_series *kp_series_copy(const struct kp_series *series); // in no table
void kp_series_free(struct kp_series *series);                    // a copy
void kp_series_table_finish(struct kp_series_table *table);

// The identity as a record, for the index (finish it).
void kp_series_record(const struct kp_series *series, struct kp_record *ret);
// kp_label_lookup_fn: system fields by their k8s. names, else labels; "k8s.pod|pod" is the field, or where it
// is not set the label.
const char *kp_series_lookup(const void *series, const char *key);
// The name selectors have for a field; NULL = none.
const char *kp_series_field_name(enum kp_series_field field);

#endif
