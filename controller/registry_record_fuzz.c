// A line of records.jsonl, as somebody may have written it: what is taken is written as it was read.
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "controller/registry_tools.h"
#include "base/banned.h"

static char *write(const struct kp_record *record, const char *file)
{
    struct kp_strbuf out;
    kp_strbuf_init(&out, 8 * KP_MAX_RECORD_BYTES);
    kp_tool_write_record(&out, record, file);
    if (out.overflow)
        abort();
    return kp_strbuf_take(&out, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kp_record first;
    struct kp_record second;
    struct kp_error err = {0};
    kp_auto_free char *file = NULL;
    kp_auto_free char *again = NULL;
    kp_auto_free char *line = kp_strndup((const char *)data, size);
    int rc = kp_tool_read_record(line, &first, &file, &err);
    if (rc != 0 && err.code == 0)
        abort();
    if (rc == 0) {
        kp_auto_free char *text = write(&first, file);
        if (kp_tool_read_record(text, &second, &again, &err) != 0)
            abort();
        kp_auto_free char *twice = write(&second, again);
        if (strcmp(text, twice) != 0)
            abort();
        kp_record_finish(&second);
    }
    kp_record_finish(&first);
    return 0;
}
