// Any template: read, and tried on an object.
#include <stddef.h>
#include <stdint.h>

#include "base/alloc.h"
#include "cli/jsonpath.h"
#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kp_jsonpath *path = NULL;
    char *text = kp_strndup((const char *)data, size);
    if (kp_jsonpath_parse(text, &path, NULL) == 0) {
        json_t *value =
            json_loads("{\"items\":[{\"id\":\"a\",\"a\":{\"b\":\"c\"}},{\"x\":[1,2,[3]]}]}", 0, NULL);
        kp_auto_strbuf out;
        kp_strbuf_init(&out, 1 << 16);
        if (kp_jsonpath_write(path, value, &out, NULL) != 0)
            kp_strbuf_clear(&out);
        json_decref(value);
    }
    kp_jsonpath_destroy(path);
    kp_free(text);
    return 0;
}
