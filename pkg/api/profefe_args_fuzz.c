// Queries and ids as profefe's clients send them, and anything else. Every refusal is a sentence; what is
// taken is within its bounds.
#include "api/profefe_args.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void try_upload(const char *text)
{
    struct kp_record record;
    struct kp_error err = {0};
    int64_t created_ms = 0;
    if (kp_profefe_parse_upload(text, &record, &created_ms, &err) != 0)
        check(err.text[0] != '\0');
    else
        check(record.service[0] != '\0' && kp_profefe_type_known(record.type));
    kp_record_finish(&record);
}

static void try_find(const char *text)
{
    struct kp_profefe_find find;
    struct kp_error err = {0};
    struct kp_selector *selector = NULL;
    if (kp_profefe_parse_find(text, &find, &err) != 0) {
        check(err.text[0] != '\0');
    } else {
        check(find.from_ms > 0 && find.to_ms > 0 && find.limit >= 0);
        check(kp_profefe_selector(
                  find.labels, strlen(text) % 2 == 1, strlen(text) % 4 == 1, &selector, &err) == 0 ||
              err.text[0] != '\0');
    }
    kp_selector_destroy(selector);
    kp_profefe_find_finish(&find);
}

static void try_ids(const char *text)
{
    struct kp_profefe_ids ids;
    struct kp_error err = {0};
    if (kp_profefe_parse_ids(text, &ids, &err) != 0)
        check(err.text[0] != '\0');
    else
        for (size_t i = 0; i < ids.n; i++)
            check(ids.items[i][0] != '\0' && strchr(ids.items[i], '+') == NULL);
    kp_profefe_ids_finish(&ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 65536)
        return 0;
    kp_auto_free char *text = kp_strndup((const char *)data, size);
    try_upload(text);
    try_find(text);
    try_ids(text);
    return 0;
}
