// How files of profiles are named: NAMESPACE_POD_CONTAINER_TYPE_TIME.pb.gz.
#ifndef KP_CLI_FILENAME_H
#define KP_CLI_FILENAME_H

#include <stddef.h>
#include <stdint.h>

// What is "" or NULL is left out. Whatever is in the texts, the name is one of a file in the folder it is put
// into: letters, digits, '.', '-' and, between the parts, '_'. What would be too long is cut in the middle of
// the parts.
struct kp_file_name {
    const char *namespace, *pod, *container, *type;
    int64_t time_ms; // begin of the capture: "20261126T010203.456Z"
    const char *id;  // where the rest could be the same twice
    const char *end; // ".pb.gz"
};
char *kp_file_name_format(const struct kp_file_name *name); // free it
// ".pb.gz", ".pb", ".trace" or ".txt", as the bytes and the registry's word for their format say.
const char *kp_file_name_end(const char *format, const void *data, size_t len);

#endif
