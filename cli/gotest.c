#include "cli/gotest.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/text.h"
#include "base/banned.h"

// ---- git ----

// Runs git in a folder; what it printed (cut to size) goes to out. Returns its exit status, -1 if it cannot
// be run.
static int git(const char *dir, const char *const *words, char *out, size_t size)
{
    char *argv[8] = {kp_strdup("git"), kp_strdup("-C"), kp_strdup(dir)};
    int fds[2];
    pid_t pid;
    int status = -1;
    for (size_t i = 0; words[i] && i + 4 < KP_COUNT(argv); i++)
        argv[i + 3] = kp_strdup(words[i]);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    if (pipe2(fds, O_CLOEXEC) == 0) {
        posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
        int rc = posix_spawnp(&pid, "git", &actions, NULL, argv, environ);
        close(fds[1]);
        ssize_t n = 0;
        size_t len = 0;
        while (rc == 0 && len + 1 < size && (n = read(fds[0], out + len, size - len - 1)) > 0)
            len += (size_t)n;
        out[len] = '\0';
        close(fds[0]);
        while (rc == 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
        status = rc == 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }
    posix_spawn_file_actions_destroy(&actions);
    for (size_t i = 0; i < KP_COUNT(argv); i++)
        kp_free(argv[i]);
    return status;
}

static char *commit_of(const char *dir)
{
    char hash[128];
    char none[16];
    if (git(dir, (const char *const[]){"rev-parse", "--verify", "HEAD", NULL}, hash, sizeof hash) != 0)
        return NULL;
    hash[strspn(hash, "0123456789abcdef")] = '\0';
    if (hash[0] == '\0')
        return NULL;
    int changed = git(dir, (const char *const[]){"diff", "--quiet", "HEAD", NULL}, none, sizeof none);
    return kp_asprintf("%s%s", hash, changed == 1 ? "-dirty" : "");
}

static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL   ? kp_strdup(".")
           : slash == path ? kp_strdup("/")
                           : kp_strndup(path, (size_t)(slash - path));
}

// ---- the profile ----

// "example.com/mod/pkg.BenchmarkHash.func1": the package's length and the benchmark's; false: it is none.
static bool is_benchmark(struct kp_str name, size_t *ret_package, size_t *ret_benchmark)
{
    static const char word[] = ".Benchmark";
    size_t from = 0;
    for (size_t i = 0; i < name.len; i++)
        if (name.data[i] == '/')
            from = i;
    const char *dot = memchr(name.data + from, '.', name.len - from);
    size_t left = dot ? name.len - (size_t)(dot - name.data) : 0;
    if (left < sizeof word || memcmp(dot, word, sizeof word - 1) != 0 || islower((unsigned char)dot[10]))
        return false;
    size_t n = 1;
    while (n < left && dot[n] != '.')
        n++;
    *ret_package = (size_t)(dot - name.data);
    *ret_benchmark = n - 1;
    return *ret_package > 0;
}

// Tests may stand in a package of their own beside the one they test.
static char *package_name(const char *text, size_t len)
{
    static const char end[] = "_test";
    size_t n = sizeof end - 1;
    return kp_strndup(text, len > n && memcmp(text + len - n, end, n) == 0 ? len - n : len);
}

static char *binary_of(const struct kp_profile *p)
{
    if (p->n_mappings == 0)
        return NULL;
    struct kp_str file = p->strings[p->mappings[0].filename];
    kp_auto_free char *path = kp_strndup(file.data, file.len);
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    return kp_ends_with(base, ".test") ? kp_strndup(base, strlen(base) - strlen(".test")) : NULL;
}

void kp_go_test_read(const struct kp_profile *p, struct kp_go_test *ret)
{
    size_t package;
    size_t len;
    ret->binary = binary_of(p);
    for (uint32_t i = 0; i < p->n_functions; i++) {
        struct kp_str name = p->strings[p->functions[i].name];
        if (!is_benchmark(name, &package, &len))
            continue;
        kp_auto_free char *benchmark = kp_strndup(name.data + package + 1, len);
        if (kp_streq(ret->benchmark, benchmark))
            continue;
        ret->n_benchmarks++;
        if (ret->package == NULL)
            ret->package = package_name(name.data, package);
        if (ret->benchmark == NULL)
            ret->benchmark = kp_take(benchmark);
    }
    if (ret->n_benchmarks > 1) {
        kp_free(ret->benchmark);
        ret->benchmark = NULL;
    }
}

void kp_go_test_find(const char *path, const struct kp_profile *profile, struct kp_go_test *ret)
{
    *ret = (struct kp_go_test){0};
    kp_auto_free char *dir = folder_of(path);
    ret->commit = commit_of(dir);
    if (ret->commit == NULL && !kp_streq(dir, "."))
        ret->commit = commit_of(".");
    kp_go_test_read(profile, ret);
}

void kp_go_test_finish(struct kp_go_test *test)
{
    kp_free(test->commit);
    kp_free(test->package);
    kp_free(test->binary);
    kp_free(test->benchmark);
}
