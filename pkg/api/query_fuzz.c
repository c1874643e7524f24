// Queries of /api/v1 as clients send them, and anything else: for the answer the first byte names. Every
// refusal is a sentence; what is taken is within its bounds, and is the same when it is read again.
#include "api/query.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/regex.h"
#include "base/text.h"
#include "api/split.h"
#include "base/banned.h"

#define NOW_MS  INT64_C(1795525200000)
#define YEAR_MS (INT64_C(366) * 24 * 3600 * 1000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void check_regex(const char *text)
{
    struct kp_regex *regex = NULL;
    check(text == NULL || kp_regex_compile(text, &regex, NULL) == 0);
    kp_regex_destroy(regex);
}

static void check_values(const struct kp_query *q)
{
    check(q->limit >= 0 && q->limit <= 10000);
    check(q->max_nodes >= 0 && q->max_nodes <= 200000);
    check(q->timeout_ms >= 0 && q->timeout_ms <= 600000);
    check(q->step_ms == 0 || (q->step_ms >= 1000 && q->step_ms <= YEAR_MS));
    check(q->max_bytes == 0 || q->max_bytes >= 1024);
    check(q->min_share >= 0 && q->min_share < 2);
    check(q->ids.list.n <= 10000 && q->base_ids.list.n <= 10000);
    check(q->from_ms == 0 || q->to_ms == 0 || q->from_ms < q->to_ms);
    for (size_t i = 0; i < q->ids.list.n; i++)
        check(q->ids.list.items[i][0] != '\0' && strchr(q->ids.list.items[i], ',') == NULL);
    check_regex(q->focus);
    check_regex(q->ignore);
    check_regex(q->hide);
}

static void check_uses(const struct kp_query *q)
{
    struct kp_report_options options;
    struct kp_error err = {0};
    struct kp_store_query select = kp_query_select(q);
    struct kp_merge_query merge = kp_query_merge(q, false), base = kp_query_merge(q, true);
    const char *field = kp_split_field(q->by);
    check(select.limit <= 10000 && merge.select.limit == 0 && base.select.limit == 0);
    check(kp_query_has_base(q) || (base.n_ids == 0 && base.select.from_ms == merge.select.from_ms));
    check(kp_query_report(q, &options, &err) == 0 || err.text[0] != '\0');
    check(field == NULL || (options.label && kp_streq(field, options.label)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 65536)
        return 0;
    unsigned query_for = 1U << (data[0] % 12);
    kp_auto_free char *text = kp_strndup((const char *)data + 1, size - 1);
    struct kp_query q, again;
    struct kp_error err = {0};
    int rc = kp_query_parse_text(text, query_for, NOW_MS, &q, &err);
    check(rc == 0 || (rc == err.code && err.text[0] != '\0'));
    if (rc == 0) {
        check_values(&q);
        check_uses(&q);
    }
    check(kp_query_parse_text(text, query_for, NOW_MS, &again, NULL) == rc);
    check(rc != 0 || (q.from_ms == again.from_ms && q.limit == again.limit && kp_streq(q.by, again.by)));
    kp_query_finish(&q);
    kp_query_finish(&again);
    return 0;
}
