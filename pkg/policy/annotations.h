// What pods say themselves. One table, a row a key; dialects are read in order: kube-pprof.dev, profefe.com,
// then those switched on. Own keys win over profefe's, those over others; kube-pprof.dev/enable: "false"
// always wins.
#ifndef KP_POLICY_ANNOTATIONS_H
#define KP_POLICY_ANNOTATIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/labels.h"
#include "base/limits.h"

enum kp_dialect {
    KP_DIALECT_OWN = 1 << 0,       // kube-pprof.dev/*
    KP_DIALECT_PROFEFE = 1 << 1,   // profefe.com/*
    KP_DIALECT_GRAFANA = 1 << 2,   // profiles.grafana.com/*
    KP_DIALECT_PYROSCOPE = 1 << 3, // pyroscope.io/*
    KP_DIALECT_COROOT = 1 << 4,    // coroot.com/*
};
#define KP_DIALECTS_DEFAULT (KP_DIALECT_OWN | KP_DIALECT_PROFEFE)

// A value that cannot be read: reported, never guessed.
struct kp_annotation_problem {
    const char *key;   // borrowed from the annotations
    char message[200]; // "profefe.com/port: '60x60' is not a port; use a number from 1 to 65535 or a port
                       // name"
};

struct kp_annotation_type {
    char name[KP_MAX_TYPE_NAME + 1];
    char path[256]; // "" = default
    char port_name[64];
    uint16_t port; // per-type port (grafana dialect); 0 and "" = the pod's
};

struct kp_pod_wishes {
    bool opted_out;     // kube-pprof.dev/enable: "false"
    bool opted_in;      // some dialect enables
    unsigned dialects;  // those that enabled
    bool fallback_port; // an enabling dialect that falls back to 6060
    char port_name[64];
    uint16_t port; // 0 and "" = not given
    char path[256], container[64], service[KP_MAX_SERVICE_NAME + 1];
    bool has_scheme, https;
    int64_t interval_ms, duration_ms; // 0 = not given
    size_t n_types;                   // 0 = not given
    size_t n_problems;
    struct kp_annotation_type types[KP_MAX_PROFILES]; // from here on only so many are set
    struct kp_annotation_problem problems[8];
};

// What a key means, for people.
struct kp_annotation_info {
    enum kp_dialect dialect;
    const char *dialect_name; // as in --annotation-dialects
    const char *meaning;      // "port of pprof, number or name"
};
// false: no dialect has this key.
bool kp_annotation_info(const char *key, struct kp_annotation_info *ret);
// The key that may have been meant; NULL: none is near.
const char *kp_annotation_nearest(const char *key);

// annotations need not be sorted. dialects: bits of enum kp_dialect.
void kp_annotations_read(
    const struct kp_label *annotations, size_t n, unsigned dialects, struct kp_pod_wishes *ret);

#endif
