#include "controller/registry_tools.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "controller/env.h"
#include "base/banned.h"

int kp_tool_options(const struct kp_option *rows, size_t n, int argc, char **argv, const char *command,
    const char *summary, void *object)
{
    struct kp_error err = {0};
    const struct kp_options_source source = {.argc = argc, .argv = argv, .env = kp_env};
    int rc = kp_options_load(rows, n, &source, object, &err);
    kp_log_setup(KP_LOG_WARN, false, 2);
    if (rc == KP_OPTIONS_HELP) {
        kp_options_help(rows, n, command, summary, stdout);
        return 1;
    }
    if (rc == 0)
        return 0;
    fprintf(stderr, "kube-pprof %s: %s\n", command, err.text);
    return 3;
}

int kp_tool_fail(const char *command, const struct kp_error *err)
{
    fprintf(stderr, "kube-pprof registry %s: %s\n", command, err->text);
    return 1;
}

int kp_tool_open(const char *dir, struct kp_store **ret, struct kp_error *err)
{
    const struct kp_store_options options = {.dir = dir, .max_bytes = UINT64_C(1) << 62};
    return kp_store_open(&options, ret, err);
}
