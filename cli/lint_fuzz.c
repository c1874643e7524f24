// Files of policies as anybody may write them: taken apart and judged.
#include <stdint.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/lint.h"
#include "cli/policyfile.h"
#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct kp_lint *lint;
    struct kp_policyfile files = {0};
    json_t *findings = json_array();
    char *text = kp_strndup((const char *)data, size);
    if (lint == NULL)
        lint = kp_lint_create();
    kp_policyfile_split(&files, "f", text, strnlen(text, size));
    for (size_t i = 0; i < files.items.n; i++)
        if (files.items.items[i].object != NULL)
            kp_lint_object(lint, files.items.items[i].object, findings);
    kp_policyfile_finish(&files);
    json_decref(findings);
    kp_free(text);
    return 0;
}
