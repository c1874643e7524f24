// The CustomResourceDefinitions of policies as they stand in crds/ (YAML), part of the program.
#ifndef KP_CLI_CRDS_H
#define KP_CLI_CRDS_H

#include <stddef.h>

extern const unsigned char kp_crd_profilingpolicies[];
extern const size_t kp_crd_profilingpolicies_len;
extern const unsigned char kp_crd_clusterprofilingpolicies[];
extern const size_t kp_crd_clusterprofilingpolicies_len;

#endif
