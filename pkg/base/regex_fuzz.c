// The first line is the expression, the rest the text: no input may take long or much memory.
#include "base/regex.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kp_auto_free char *input = kp_strndup((const char *)data, size);
    char *text = input;
    const char *expression = strsep(&text, "\n");
    struct kp_error err = {0};
    struct kp_regex *regex = NULL;
    if (kp_regex_compile(expression, &regex, &err) != 0) {
        if (err.text[0] == '\0' || regex != NULL)
            abort();
        return 0;
    }
    bool match = kp_regex_matches(regex, text != NULL ? text : "");
    if (match && !kp_regex_finds(regex, text != NULL ? text : "", text != NULL ? strlen(text) : 0))
        abort();
    kp_regex_destroy(regex);
    // the same in a group of its own
    kp_auto_free char *group = kp_asprintf("(?:%s)", expression);
    if (kp_regex_compile(group, &regex, NULL) == 0) {
        if (kp_regex_matches(regex, text != NULL ? text : "") != match)
            abort();
        kp_regex_destroy(regex);
    }
    return 0;
}
