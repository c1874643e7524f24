// Any profile in any report: no crash, bounded memory, text that is valid, and numbers that fit together.
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/text.h"
#include "report/flame.h"
#include "report/report.h"
#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void check_flame(const struct kp_flame *flame)
{
    for (uint32_t i = 1; i < flame->n; i++) {
        const struct kp_flame_node *node = &flame->nodes[i], *parent = &flame->nodes[node->parent];
        check(node->parent < i && node->weight <= parent->weight && node->depth == parent->depth + 1);
    }
    struct kp_strbuf out;
    kp_strbuf_init(&out, 1 << 22);
    kp_flame_json(flame, &out);
    kp_flame_folded(flame, &out);
    kp_flame_tree(flame, &out);
    kp_flame_svg(flame, "fuzz", &out);
    check(kp_utf8_valid(out.data, out.len) || out.overflow);
    kp_strbuf_clear(&out);
    kp_flame_html(flame, "fuzz", &out);
    const char *json = strstr(out.data, "application/json\">");
    check(out.overflow || (json && kp_starts_with(strpbrk(json + 18, "<>"), "</script>")));
    kp_strbuf_finish(&out);
}

static void run(const struct kp_profile *profile, const struct kp_profile *base, bool normalize,
    const struct kp_report_options *options)
{
    struct kp_top *top = NULL;
    if (kp_report_top_diff(profile, base, normalize, options, &top, NULL) == 0) {
        kp_auto_strbuf out;
        kp_strbuf_init(&out, 1 << 22);
        kp_top_text(top, &out);
        kp_top_json(top, &out);
        if (top->n > 0)
            (void)kp_report_peers(profile, options, top->rows[top->n / 2].name, &out, NULL);
        check(kp_utf8_valid(out.data, out.len) || out.overflow);
        kp_top_free(top);
    }
    struct kp_flame *flame = NULL;
    if (kp_report_flame(profile, base, normalize, options, &flame, NULL) == 0) {
        check_flame(flame);
        kp_flame_free(flame);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct kp_profile_limits limits = {
        .max_inflated_bytes = 4 << 20, .max_entities = 20000, .max_depth = 2000};
    static const char *const patterns[] = {NULL, "a", "^.{3}", "main|runtime", NULL, "[^/]*$", NULL, "x{2,}"};
    struct kp_profile *profile = NULL;
    if (kp_profile_decode(data, size, &limits, &profile, NULL) < 0)
        return 0;
    uint64_t dice = kp_hash64(data, size, 1); // the options, from the input
    struct kp_report_options options = {.by = (enum kp_report_by)(dice % 5),
        .label = "bytes",
        .focus = patterns[dice >> 3 & 7],
        .ignore = dice >> 6 & 1 ? patterns[dice >> 7 & 7] : NULL,
        .hide = dice >> 10 & 1 ? patterns[dice >> 11 & 7] : NULL,
        .sort_cum = dice >> 14 & 1,
        .limit = dice >> 15 & 1 ? 5 : 0,
        .min_share = dice >> 16 & 1 ? 0.01 : 0};
    run(profile, dice >> 17 & 1 ? profile : NULL, dice >> 18 & 1, &options);
    kp_profile_free(profile);
    return 0;
}
