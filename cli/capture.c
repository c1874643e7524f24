// capture: profiles of running pods into files.
#include <string.h>

#include "cli/captures.h"
#include "cli/command.h"
#include "cli/endpoints.h"
#include "cli/pods.h"
#include "base/banned.h"

static int capture(struct kp_cli *cli, const struct kp_endpoints *endpoints, struct kp_error *err)
{
    struct kp_captures *captures = NULL;
    int rc = kp_captures_create(cli, &captures, err);
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < endpoints->items.n; i++)
        kp_captures_add(captures, endpoints->items.items[i], NULL, false);
    rc = kp_captures_run(captures, err);
    kp_captures_destroy(captures);
    return rc;
}

static int check_push(struct kp_cli *cli, struct kp_error *err)
{
    const struct kp_cli_flags *f = &cli->flags;
    for (size_t i = 0; i < f->labels.n; i++) {
        const char *equals = strchr(f->labels.items[i], '=');
        if (equals == NULL || equals == f->labels.items[i])
            return kp_cli_usage(cli, err, "--label '%.80s' is not KEY=VALUE", f->labels.items[i]);
    }
    if ((f->labels.n > 0 || kp_cli_given(f->service)) && !f->push && !kp_cli_given(f->profefe_hostport))
        return kp_cli_usage(cli, err, "--service and --label are of what is stored: they need --push");
    return 0;
}

int kp_cli_capture(struct kp_cli *cli, struct kp_error *err)
{
    struct kp_pods pods;
    struct kp_endpoints endpoints = {0};
    bool is_chosen = cli->n_args > 0 || kp_cli_given(cli->flags.selector) || kp_cli_given(cli->flags.port);
    int rc = check_push(cli, err);
    if (rc == 0)
        rc = kp_endpoints_check(cli, err);
    if (rc == 0)
        rc = kp_pods_find(cli, &pods, err);
    if (rc != 0)
        return rc;
    rc = kp_endpoints_find(cli, &pods, is_chosen, &endpoints, err);
    if (rc == 0 && endpoints.n_left_out > 0)
        kp_cli_note(cli,
            "%zu of %zu pods do not say where pprof is (annotation or port name) and are left out",
            endpoints.n_left_out, pods.items.n);
    if (rc == 0 && endpoints.items.n == 0 && cli->n_failures == 0)
        rc = kp_fail(err, KP_NOT_FOUND, "there is nothing to capture");
    if (rc == 0 && endpoints.items.n > 0)
        rc = capture(cli, &endpoints, err);
    kp_endpoints_finish(&endpoints);
    kp_pods_finish(&pods);
    return rc;
}
