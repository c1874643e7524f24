// What can be found out of a profile that `go test` wrote: the commit it was built from, its package and its
// benchmark.
#ifndef KP_CLI_GOTEST_H
#define KP_CLI_GOTEST_H

#include "cli/cli.h"
#include "profile/profile.h"

struct kp_go_test {
    char *commit;    // "HASH", "HASH-dirty"; NULL: no repository, or no git
    char *package;   // import path; "" where only the program's name is known: binary
    char *binary;    // "mypkg" of mypkg.test
    char *benchmark; // "BenchmarkHash"; NULL: none or several
    unsigned n_benchmarks;
};
// path: of the file; the repository is the one it lies in, else the current folder's.
void kp_go_test_find(const char *path, const struct kp_profile *profile, struct kp_go_test *ret);
void kp_go_test_finish(struct kp_go_test *test);

// The part that reads the profile.
void kp_go_test_read(const struct kp_profile *profile, struct kp_go_test *ret);

#endif
