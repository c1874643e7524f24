// Runs the program against a scripted API server, by a kubeconfig of namespace "shop". Tests only; includes
// cmocka.
#ifndef KP_CLI_SERVER_TESTING_H
#define KP_CLI_SERVER_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cli/program_testing.h"
#include "kube/api_peer.h"

struct ran_at_server {
    struct kp_ran ran;
    char *failure;
    size_t n_seen;
};

static inline void run_at_server(
    const struct peer_step *steps, size_t n, const char *const *words, struct ran_at_server *ret)
{
    struct peer *peer = peer_start(steps, n);
    char *dir = kp_test_tmpdir();
    kp_auto_free char *config = kp_asprintf("%s/config", dir);
    kp_auto_free char *text = kp_asprintf(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{name: c, cluster: {server: "
        "'http://127.0.0.1:%d'}}]\nusers: [{name: u, user: {token: t}}]\ncontexts: [{name: c, context: "
        "{cluster: c, user: u, namespace: shop}}]\n",
        peer->port);
    const char *all[32] = {"--kubeconfig", config};
    size_t at = 2;
    for (size_t i = 0; words[i] != NULL && at + 1 < KP_COUNT(all); i++)
        all[at++] = words[i];
    assert_int_equal(kp_file_write_atomic(config, text, strlen(text), 0600, NULL), 0);
    *ret = (struct ran_at_server){0};
    kp_run_program(all, dir, NULL, &ret->ran);
    ret->n_seen = peer_seen(peer);
    ret->failure = peer_stop(peer);
    kp_test_rmdir(dir);
    if (ret->failure != NULL)
        fail_msg("%s\n%s%s", ret->failure, ret->ran.out, ret->ran.err);
}

static inline void check_says(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("'%s' is not in:\n%s", part, text);
}

#endif
