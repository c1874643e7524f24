// Any annotations, one "key=value" a line: nothing passes its bounds, and what is wished can be used.
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "policy/annotations.h"
#include "policy/types.h"
#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kp_auto_free char *text = kp_strndup((const char *)data, size);
    struct kp_label notes[32];
    size_t n = 0;
    char *rest = text;
    while (rest != NULL && n < KP_COUNT(notes)) {
        char *value = strsep(&rest, "\n");
        char *key = strsep(&value, "=");
        if (value != NULL)
            notes[n++] = (struct kp_label){key, value};
    }
    struct kp_pod_wishes wishes;
    kp_annotations_read(notes, n, ~0U, &wishes);
    check(wishes.n_problems <= KP_COUNT(wishes.problems) && wishes.n_types <= KP_COUNT(wishes.types));
    check(wishes.path[0] == '\0' || (wishes.path[0] == '/' && strstr(wishes.path, "..") == NULL));
    check(wishes.interval_ms >= 0 && wishes.duration_ms >= 0);
    check(wishes.port == 0 || wishes.port_name[0] == '\0');
    for (size_t i = 0; i < wishes.n_types; i++)
        check(kp_profile_type(wishes.types[i].name) != NULL);
    return 0;
}
