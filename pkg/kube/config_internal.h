// Parts of a configuration, and one that is in memory already (for the fuzzer). Internal to kube.
#ifndef KP_KUBE_CONFIG_INTERNAL_H
#define KP_KUBE_CONFIG_INTERNAL_H

#include <stddef.h>

#include "kube/config.h"

// As kp_kube_config_load() of one file in folder dir, with its current-context.
KP_MUST_CHECK int kp_kube_config_parse(
    const char *text, size_t len, const char *dir, struct kp_kube_config *ret, struct kp_error *err);

// NULL-terminated lists; NULL is fine.
char **kp_kube_texts_copy(const char *const *list);
void kp_kube_texts_free(char **list);
void kp_kube_pairs_free(struct kp_kube_pair *pairs, size_t n);

#endif
