// The data of Secrets: base64 in JSON objects, wiped after use.
#ifndef KP_CONTROLLER_SECRETDATA_H
#define KP_CONTROLLER_SECRETDATA_H

#include <jansson.h>

#include "base/blob.h"

char *kp_base64(const void *data, size_t len); // free it
// A member of a Secret's data as text, free it; NULL if it is not there, is no base64, or holds a NUL.
char *kp_secretdata_get(const json_t *secret, const char *member);
struct kp_secretdata_item {
    const char *name, *text; // text NULL: left out
};
// A Secret to be written, as JSON: the one that was read (its metadata with the resourceVersion, its type)
// with this data, and for Helm to keep. items end with a row without name.
struct kp_blob *kp_secretdata_object(const json_t *read, const struct kp_secretdata_item *items);
// Overwrites the data of a Secret that is not needed any more. NULL is fine.
void kp_secretdata_wipe(json_t *secret);

#endif
