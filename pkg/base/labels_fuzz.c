// Label texts from outside: what is taken is written and read back to an equal set.
#include "base/labels.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kp_auto_free char *text = kp_strndup((const char *)data, size);
    struct kp_labels *labels = NULL, *again = NULL;
    (void)kp_label_value_valid(text);
    if (kp_label_key_valid(text) && strlen(text) > 317)
        abort();
    if (kp_labels_parse(text, &labels, NULL) != 0)
        return 0;
    kp_auto_strbuf out;
    kp_strbuf_init(&out, 8u << 20);
    kp_labels_format(labels, &out);
    for (size_t i = 0; i < labels->n; i++)
        if (kp_labels_get(labels, labels->items[i].key) != labels->items[i].value)
            abort();
    if (kp_labels_parse(out.data, &again, NULL) != 0 || !kp_labels_equal(labels, again))
        abort();
    kp_labels_destroy(again);
    kp_labels_destroy(labels);
    return 0;
}
