// Stands in for what other modules do not have yet; goes when they have.
#include "profile/filter.h"
#include "report/report.h"
#include "store/store.h"
#include "base/banned.h"

#pragma GCC diagnostic ignored "-Wunused-parameter"

__attribute__((weak)) int kp_store_seal_begin(
    struct kp_store *store, bool now, struct kp_seal **ret, struct kp_error *err)
{
    return kp_fail(err, KP_UNAVAILABLE, "this version cannot do that yet");
}

__attribute__((weak)) int kp_seal_run(struct kp_seal *seal, const int *cancelled, struct kp_error *err)
{
    return kp_fail(err, KP_UNAVAILABLE, "this version cannot do that yet");
}

__attribute__((weak)) int kp_seal_end(struct kp_seal *seal, struct kp_error *err)
{
    return kp_fail(err, KP_UNAVAILABLE, "this version cannot do that yet");
}

__attribute__((weak)) int kp_store_verify(struct kp_store *store,
    void (*each)(void *user, const char *file, const char *what), void *user, struct kp_error *err)
{
    return kp_fail(err, KP_UNAVAILABLE, "this version cannot do that yet");
}

__attribute__((weak)) void kp_flame_svg(
    const struct kp_flame *flame, const char *title, struct kp_strbuf *out)
{
}

__attribute__((weak)) void kp_flame_html(
    const struct kp_flame *flame, const char *title, struct kp_strbuf *out)
{
}
