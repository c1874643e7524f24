// How fast the codec is: for each file, microseconds of inflating, decoding, interning into a space that
// knows most of it, the digest, and encoding, the best of many rounds, on one thread.
//
//     kp_codec_bench [-r ROUNDS] FILES...
//     kp_codec_bench -p [-r ROUNDS] FILES...     decode + intern only, all files in turn: one line of
//     figures,
//                                                with the CPU time of the whole process
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
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

// ---- each step of each file ----

static int steps(char **names, int n, int rounds, struct kp_symbols *space, struct kp_error *err)
{
    printf("%-28s %8s %8s %8s %8s | %14s | %8s %8s %8s\n", "microseconds", "check", "inflate", "decode",
        "intern", "decode+intern", "digest", "encode", "gzip 1");
    int rc = 0;
    for (int i = 0; i < n && rc == 0; i++) {
        struct best best = {0};
        char *data = NULL;
        size_t len = 0;
        rc = kp_file_read(names[i], MAX_BYTES, &data, &len, err);
        for (int k = 0; k < rounds && rc == 0; k++)
            rc = run_round(data, len, space, &best, err);
        const char *slash = strrchr(names[i], '/');
        if (rc == 0)
            printf("%-28s %8.1f %8.1f %8.1f %8.1f | %14.1f | %8.1f %8.1f %8.1f\n",
                slash ? slash + 1 : names[i], best.check, best.inflate, best.decode, best.intern,
                best.decode + best.intern, best.digest, best.encode, best.gzip);
        kp_free(data);
    }
    return rc;
}

// ---- decode + intern, all files in turn ----

static double cpu_us(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static int parse_one(const char *data, size_t len, struct kp_symbols *space, struct kp_error *err)
{
    struct kp_profile *p;
    int rc = kp_profile_decode(data, len, NULL, &p, err);
    if (rc != 0)
        return rc;
    intern(space, p);
    kp_profile_free(p);
    return 0;
}

static int parse_all(char **names, int n, int rounds, struct kp_symbols *space, struct kp_error *err)
{
    struct file {
        char *data;
        size_t len;
        double best;
    } *files = KP_NEW_ARRAY(struct file, (size_t)n + 1);
    double *took = KP_NEW_ARRAY(double, (size_t)n *(size_t)rounds + 1);
    size_t n_took = 0;
    int rc = 0;
    for (int i = 0; i < n && rc == 0; i++)
        rc = kp_file_read(names[i], MAX_BYTES, &files[i].data, &files[i].len, err);
    double began = cpu_us();
    for (int k = 0; k < rounds && rc == 0; k++) {
        for (int i = 0; i < n && rc == 0; i++) {
            double at = now_us();
            rc = parse_one(files[i].data, files[i].len, space, err);
            took[n_took] = now_us() - at;
            if (k == 0 || took[n_took] < files[i].best)
                files[i].best = took[n_took];
            n_took++;
        }
    }
    double used = cpu_us() - began;
    double best = 0; // the mean over files
    for (int i = 0; i < n; i++)
        best += files[i].best / n;
    qsort(took, n_took, sizeof *took, by_value);
    if (rc == 0 && n_took > 0)
        printf("decode + intern: best %.3f ms, median %.3f ms, CPU time %.3f ms\n", best / 1e3,
            took[n_took / 2] / 1e3, used / 1e3 / (double)n_took);
    for (int i = 0; i < n; i++)
        kp_free(files[i].data);
    kp_free(files);
    kp_free(took);
    return rc;
}

int main(int argc, char **argv)
{
    int rounds = 200;
    int first = 1;
    bool parse = argc > first && strcmp(argv[first], "-p") == 0;
    first += parse;
    if (argc > first + 1 && strcmp(argv[first], "-r") == 0) {
        rounds = (int)strtol(argv[first + 1], NULL, 10);
        first += 2;
    }
    kp_alloc_set_up(); // as the registry does
    struct kp_symbols *space = kp_symbols_create(KP_SYMBOLS_EXACT);
    struct kp_error err = {0};
    int rc = (parse ? parse_all : steps)(argv + first, argc - first, rounds < 0 ? 0 : rounds, space, &err);
    if (rc != 0)
        fprintf(stderr, "kp_codec_bench: %s\n", err.text);
    kp_symbols_destroy(space);
    return rc == 0 ? 0 : 1;
}
