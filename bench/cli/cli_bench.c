// Writes the profile that bench/cli/run measures with: kp_cli_bench FILE. A CPU profile of a large Go
// program, of which 1.2 MB are left by gzip -6; always the same.
#include <stdio.h>

#include "base/alloc.h"
#include "base/file.h"
#include "testkit/profile_gen.h"
#include "base/banned.h"

int main(int argc, char **argv)
{
    struct kp_error err = {0};
    size_t len;
    if (argc != 2) {
        fputs("usage: kp_cli_bench FILE\n", stderr);
        return 2;
    }
    struct kp_gen *gen = kp_gen_create(
        &(struct kp_gen_program){.seed = 1, .functions = 20000, .stacks = 9000, .depth = 30, .labels = 20});
    uint8_t *data = kp_gen_bytes(gen, KP_GEN_CPU, 0, 0, 6, &len);
    int rc = kp_file_write_atomic(argv[1], data, len, 0644, &err);
    if (rc != 0)
        fprintf(stderr, "%s\n", err.text);
    kp_free(data);
    kp_gen_destroy(gen);
    return rc == 0 ? 0 : 1;
}
