// Paths, Accept headers, selectors and bodies of the aggregated API.
#include <stdlib.h>
#include <string.h>

#include "api/aggregated.h"
#include "base/alloc.h"
#include "base/text.h"
#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

// What was taken can be read in one way only.
static void try_path(const char *text)
{
    kp_auto_free char *room = kp_alloc(strlen(text) + 1);
    if (!kp_agg_path_is_strict(text))
        return;
    check(text[0] == '/' && strstr(text, "//") == NULL && text[strlen(text) - 1] != '/');
    check(kp_url_decode(text, strlen(text), room));
    size_t n = 0;
    size_t n_raw = 0;
    for (const char *p = room; *p; p++)
        n += *p == '/';
    for (const char *p = text; *p; p++)
        n_raw += *p == '/';
    check(n == n_raw);
    check(strstr(room, "/../") == NULL && strstr(room, "/./") == NULL);
}

static void try_select(const char *text)
{
    struct kp_agg_select select;
    struct kp_error err = {0};
    const char *half = strchr(text, '\n');
    kp_auto_free char *labels = kp_strndup(text, half ? (size_t)(half - text) : strlen(text));
    if (kp_agg_select_parse(labels, half ? half + 1 : NULL, &select, &err) != 0)
        check(err.text[0] != '\0');
    kp_agg_select_finish(&select);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kp_agg_accept accept;
    struct kp_agg_delete_options options;
    if (size > 65536)
        return 0;
    kp_auto_free char *text = kp_strndup((const char *)data, size);
    try_path(text);
    try_select(text);
    (void)kp_agg_is_path(text);
    (void)!kp_agg_accept_parse(text, &accept, NULL);
    (void)kp_agg_wants_discovery(text);
    (void)kp_agg_is_watch(text);
    (void)!kp_agg_delete_options_parse(data, size, text, &options, NULL);
    (void)!kp_agg_delete_options_parse(data, size, NULL, &options, NULL);
    return 0;
}
