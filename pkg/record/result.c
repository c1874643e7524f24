#include "record/result.h"

#include <stddef.h>

#include "base/banned.h"

void kp_capture_result_finish(struct kp_capture_result *result)
{
    kp_record_finish(&result->record);
    kp_blob_unref(result->body);
    result->body = NULL;
}
