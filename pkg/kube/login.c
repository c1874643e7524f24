#include "kube/login.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "kube/plugin.h"

#include "base/banned.h"

struct kp_login {
    struct kp_loop *loop;
    struct kp_credentials *credentials;
    bool terminal, has;
    int64_t expires_ms;
    unsigned generation;
    struct kp_plugin_run *run; // NULL = none runs
    struct kp_list waiting;
};

struct kp_login *kp_login_create(struct kp_loop *loop, struct kp_credentials *credentials, bool terminal)
{
    const struct kp_kube_config *config = &credentials->config;
    bool known =
        config->token || config->token_file || config->username || config->cert_file || config->cert_pem;
    if (!config->exec || known || !credentials->may_authorize)
        return NULL;
    struct kp_login *login = KP_NEW(struct kp_login);
    login->loop = loop;
    login->credentials = credentials;
    login->terminal = terminal;
    kp_list_init(&login->waiting);
    return login;
}

static void tell(struct kp_login *login, const struct kp_error *err)
{
    struct kp_list now; // who is told may wait again
    kp_list_init(&now);
    while (!kp_list_empty(&login->waiting)) {
        struct kp_list *node = login->waiting.next;
        kp_list_remove(node);
        kp_list_append(&now, node);
    }
    while (!kp_list_empty(&now)) {
        struct kp_login_wait *wait = kp_container_of(now.next, struct kp_login_wait, node);
        kp_list_remove(&wait->node);
        wait->on_login(wait->user, err);
    }
}

static void on_plugin_done(void *user, struct kp_exec_credential *credential, const struct kp_error *err)
{
    struct kp_login *login = user;
    login->run = NULL;
    if (!err) {
        login->has = true;
        login->generation++;
        login->expires_ms = credential->expires_ms;
        kp_credentials_take(login->credentials, credential);
    }
    tell(login, err);
}

void kp_login_destroy(struct kp_login *login)
{
    struct kp_error err = {0};
    if (!login)
        return;
    if (login->run)
        kp_plugin_abandon(login->run);
    login->run = NULL;
    kp_fail(&err, KP_CANCELED, "canceled");
    tell(login, &err);
    kp_free(login);
}

bool kp_login_ready(const struct kp_login *login)
{
    return !login || (login->has && (login->expires_ms == 0 || kp_now_ms() < login->expires_ms));
}

void kp_login_wait(struct kp_login *login, struct kp_login_wait *wait)
{
    kp_list_append(&login->waiting, &wait->node);
    if (!login->run)
        login->run = kp_plugin_start(
            login->loop, login->credentials->config.exec, login->terminal, on_plugin_done, login);
}

void kp_login_leave(struct kp_login *login, struct kp_login_wait *wait)
{
    if (!login || !wait->on_login)
        return;
    kp_list_remove(&wait->node);
    if (!kp_list_empty(&login->waiting) || !login->run)
        return;
    kp_plugin_abandon(login->run);
    login->run = NULL;
}

unsigned kp_login_generation(const struct kp_login *login)
{
    return login ? login->generation : 0;
}

bool kp_login_refused(struct kp_login *login, unsigned generation)
{
    if (!login)
        return false;
    if (login->generation == generation)
        login->has = false;
    return true;
}
