// Malformed, ambiguous and hostile requests against the registry itself, as it is run.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "controller/process_fixture.h"
#include "testkit/testkit.h"
#include "base/banned.h"

#define ATTACKS KP_TESTDATA "/../../pkg/http/testdata/attacks.py"

static pid_t attack(const char *port, pid_t registry)
{
    char pid[16];
    snprintf(pid, sizeof pid, "%d", (int)registry);
    pid_t attacker = fork();
    assert_true(attacker >= 0);
    if (attacker == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execl("/usr/bin/python3", "python3", ATTACKS, "127.0.0.1", port, "--pid", pid, (char *)NULL);
        _exit(127);
    }
    return attacker;
}

// Its uploads are traces of profefe's API, which are taken as they are.
static void test_the_registry_answers_attacks_as_it_must(void **state)
{
    (void)state;
    if (access("/usr/bin/python3", X_OK) != 0) {
        print_message("python3 is not installed, the attacks are skipped\n");
        skip();
    }
    struct process p;
    char *dir = kp_test_tmpdir();
    kp_auto_free char *data = kp_asprintf("--data-dir=%s/data", dir);
    start(&p, (const char *const[]){"kube-pprof", "registry", "--listen=127.0.0.1:0", data, NULL});
    until_it_says(&p, "\"port\":");
    const char *said = strstr(p.said, "\"port\":") + 7;
    kp_auto_free char *port = kp_asprintf("%.*s", (int)strspn(said, "0123456789"), said);
    pid_t attacker = attack(port, p.pid);
    int status = 0, attacks;
    pid_t ended;
    while (
        (ended = waitpid(attacker, &status, WNOHANG)) == 0) { // it must not wait for us to read what it says
        p.len = 0;
        listen_to(&p, kp_mono_ms() + 100);
    }
    attacks = ended == attacker && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    kill(p.pid, SIGTERM);
    p.len = 0;
    assert_int_equal(ends(&p), 0); // by itself, and sanitizers found nothing
    assert_int_equal(attacks, 0);
    kp_test_rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_registry_answers_attacks_as_it_must),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
