// Stands in for what other modules do not have yet; goes when they have.
#include "report/report.h"
#include "base/banned.h"

#pragma GCC diagnostic ignored "-Wunused-parameter"

__attribute__((weak)) void kp_flame_svg(
    const struct kp_flame *flame, const char *title, struct kp_strbuf *out)
{
}

__attribute__((weak)) void kp_flame_html(
    const struct kp_flame *flame, const char *title, struct kp_strbuf *out)
{
}
