// Selector texts from outside: whatever is taken can be written and read back, and matching stays cheap.
#include "base/selector.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct kp_strbuf format(const struct kp_selector *selector)
{
    struct kp_strbuf out;
    kp_strbuf_init(&out, 1u << 20);
    kp_selector_format(selector, &out);
    return out;
}

static void check(const char *text, bool regex)
{
    static const struct kp_label items[] = {
        {"app", "web"}, {"a", ""}, {"env", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"}};
    struct kp_error err = {0};
    struct kp_selector *selector = NULL, *again = NULL;
    if (kp_selector_parse(text, regex, &selector, &err) != 0) {
        if (err.code == 0 || err.text[0] == '\0' || selector != NULL)
            abort();
        return;
    }
    struct kp_labels *labels = kp_labels_create(items, KP_COUNT(items));
    bool match = kp_selector_matches(selector, labels);
    struct kp_strbuf out = format(selector);
    // quotes inside a regex cannot be written
    if (!regex) {
        if (kp_selector_parse(out.data, regex, &again, &err) != 0 ||
            kp_selector_matches(again, labels) != match)
            abort();
        kp_selector_destroy(again);
    }
    kp_strbuf_finish(&out);
    kp_labels_destroy(labels);
    kp_selector_destroy(selector);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kp_auto_free char *text = kp_strndup((const char *)data, size);
    check(text, false);
    check(text, true);
    return 0;
}
