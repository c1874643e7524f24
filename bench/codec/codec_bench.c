// How fast the codec is: for each file, microseconds of inflating, decoding, interning into a space that
// knows most of it, the digest, and encoding, the best of many rounds, on one thread.
//
//     kp_codec_bench [-r ROUNDS] FILES...
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/file.h"
#include "profile/digest.h"
#include "profile/symbols.h"
#include "base/banned.h"

#define MAX_BYTES ((size_t)64 << 20)

struct best {
    double check, inflate, decode, intern, digest, encode, gzip;
};

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

// Time since *at, which moves on to now.
static void lap(double *at, double *best)
{
    double now = now_us();
    if (*best == 0 || now - *at < *best)
        *best = now - *at;
    *at = now_us();
}

static void intern(struct kp_symbols *space, const struct kp_profile *p)
{
    struct kp_symbols_map *map = kp_symbols_map_profile(space, p);
    for (uint32_t i = 0; i < p->n_samples; i++) {
        (void)kp_symbols_map_stack(map, i);
        (void)kp_symbols_map_labels(map, i);
    }
    kp_symbols_map_destroy(map);
}

static int run_round(
    const void *data, size_t len, struct kp_symbols *space, struct best *best, struct kp_error *err)
{
    uint8_t *inflated;
    size_t n;
    struct kp_profile *p;
    struct kp_strbuf out;
    double at = now_us();
    if (kp_profile_check(data, len, NULL, NULL, NULL) > KP_PROFILE_EMPTY)
        return kp_fail(err, KP_INVALID, "not a profile");
    lap(&at, &best->check);
    int rc = kp_profile_inflate(data, len, NULL, &inflated, &n, err);
    if (rc != 0)
        return rc;
    lap(&at, &best->inflate);
    kp_free(inflated);
    at = now_us();
    rc = kp_profile_decode(data, len, NULL, &p, err);
    if (rc != 0)
        return rc;
    lap(&at, &best->decode);
    intern(space, p);
    lap(&at, &best->intern);
    (void)kp_profile_digest(p);
    lap(&at, &best->digest);
    kp_strbuf_init(&out, MAX_BYTES);
    at = now_us();
    kp_profile_encode(p, 0, &out);
    lap(&at, &best->encode);
    kp_strbuf_clear(&out);
    at = now_us();
    kp_profile_encode(p, 1, &out);
    lap(&at, &best->gzip);
    kp_strbuf_finish(&out);
    kp_profile_free(p);
    return 0;
}

int main(int argc, char **argv)
{
    int rounds = 200;
    int first = 1;
    if (argc > 2 && strcmp(argv[1], "-r") == 0) {
        rounds = (int)strtol(argv[2], NULL, 10);
        first = 3;
    }
    struct kp_symbols *space = kp_symbols_create(KP_SYMBOLS_EXACT);
    printf("%-28s %8s %8s %8s %8s | %14s | %8s %8s %8s\n", "microseconds", "check", "inflate", "decode",
        "intern", "decode+intern", "digest", "encode", "gzip 1");
    for (int i = first; i < argc; i++) {
        struct kp_error err = {0};
        struct best best = {0};
        char *data = NULL;
        size_t len = 0;
        int rc = kp_file_read(argv[i], MAX_BYTES, &data, &len, &err);
        for (int k = 0; k < rounds && rc == 0; k++)
            rc = run_round(data, len, space, &best, &err);
        if (rc != 0) {
            fprintf(stderr, "%s: %s\n", argv[i], err.text);
            return 1;
        }
        const char *slash = strrchr(argv[i], '/');
        printf("%-28s %8.1f %8.1f %8.1f %8.1f | %14.1f | %8.1f %8.1f %8.1f\n", slash ? slash + 1 : argv[i],
            best.check, best.inflate, best.decode, best.intern, best.decode + best.intern, best.digest,
            best.encode, best.gzip);
        kp_free(data);
    }
    kp_symbols_destroy(space);
    return 0;
}
