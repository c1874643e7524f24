// Functions with names as Go gives them, and stacks as walks through a graph of who calls whom.
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "testkit/profile_gen_private.h"
#include "base/banned.h"

#define ROOTS 12
#define FILES 6 // of a package

static const char *const packages[] = {"runtime", "sync", "net/http", "encoding/json", "internal/poll",
    "syscall", "bufio", "crypto/tls", "database/sql", "google.golang.org/grpc/internal/transport",
    "google.golang.org/grpc", "github.com/prometheus/client_golang/prometheus", "go.uber.org/zap/zapcore",
    "github.com/lib/pq", "github.com/acme/checkout/internal/orders",
    "github.com/acme/checkout/internal/pricing", "github.com/acme/checkout/internal/inventory",
    "github.com/acme/checkout/pkg/middleware", "github.com/acme/platform/tracing",
    "github.com/acme/platform/cache"};
static const char *const types[] = {"Server", "conn", "Handler", "Service", "decodeState", "http2Transport",
    "Registry", "orderBook", "priceIndex", "LRU", "Pool", "Writer", "Scanner", "loopyWriter", "session"};
static const char *const verbs[] = {"Serve", "handle", "Process", "decode", "flush", "lookup", "Get", "write",
    "validate", "Collect", "apply", "scan", "Do", "roundTrip", "insert", "grow", "Lock", "observe", "next",
    "run"};
static const char *const nouns[] = {"", "Request", "Order", "Frame", "Object", "Entry", "Batch", "Metric",
    "Line", "Cache", "Header", "Value", "Stream", "Locked", "Slow"};

static const char *pick(const char *const *words, size_t n, uint64_t random)
{
    return words[random % n];
}
#define PICK(words, random) pick((words), KP_COUNT(words), (random))

static void make_function(struct kp_gen *gen, unsigned i)
{
    struct kp_gen_function *f = &gen->functions[i];
    uint64_t r = kp_gen_seed(gen->program.seed, 1, i, 0);
    uint32_t at = (r >> 8) % KP_COUNT(packages);
    const char *package = packages[at];
    const char *type = PICK(types, r >> 16);
    const char *verb = PICK(verbs, r >> 24);
    const char *noun = PICK(nouns, r >> 32);
    const char *closure = r % 7 == 0 ? ".func1" : r % 11 == 0 ? ".func2.1" : "";
    // the number makes the name one of its own, as generics and versions do
    if (i == 0)
        f->name = kp_strdup("main.main");
    else if (r % 3 == 0)
        f->name = kp_asprintf("%s.%s%s%u%s", package, verb, noun, i, closure);
    else
        f->name = kp_asprintf("%s.(*%s).%s%s%u%s", package, type, verb, noun, i, closure);
    f->file = at * FILES + (uint32_t)(r >> 40) % FILES;
    f->start_line = (int64_t)(20 + (r >> 42) % 1500);
    if (kp_gen_seed(gen->program.seed, 2, i, gen->program.build) % 10 == 0)
        f->start_line += 1 + gen->program.build % 50;
}

void kp_gen_make_functions(struct kp_gen *gen)
{
    gen->n_files = KP_COUNT(packages) * FILES;
    gen->files = KP_NEW_ARRAY(char *, gen->n_files);
    for (unsigned i = 0; i < gen->n_files; i++) {
        const char *package = packages[i / FILES];
        bool std = strchr(package, '.') == NULL;
        gen->files[i] =
            kp_asprintf("%s%s/%s.go", std ? "/usr/local/go/src/" : "/go/pkg/mod/", package, verbs[i % FILES]);
    }
    gen->functions = KP_NEW_ARRAY(struct kp_gen_function, gen->program.functions);
    for (unsigned i = 0; i < gen->program.functions; i++)
        make_function(gen, i);
}

// ---- stacks ----

static uint32_t callee(const struct kp_gen *gen, uint32_t site)
{
    return (uint32_t)(kp_gen_seed(gen->program.seed, 3, site, 0) % gen->program.functions);
}

// Fills from place n - 1 (the root) down to 0 (the leaf). Few call sites are taken most of the time, so that
// stacks share their beginnings; the first `odd` steps know no such habit.
static void walk(
    const struct kp_gen *gen, uint64_t *random, uint32_t function, uint32_t odd, uint32_t *sites, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        uint64_t r = kp_gen_random(random);
        uint64_t site = (i < odd ? r : r & r >> 8 & r >> 16 & r >> 24) % KP_GEN_SITES;
        uint32_t *at = &sites[n - 1 - i];
        *at = function * KP_GEN_SITES + (uint32_t)site;
        function = callee(gen, *at);
    }
}

static uint64_t stack_hash(const uint32_t *sites, uint32_t n)
{
    return kp_hash64(sites, n * sizeof *sites, 1);
}

static void make_stack(const struct kp_gen *gen, uint64_t seed, struct kp_gen_stack *ret)
{
    uint32_t sites[KP_GEN_MAX_DEPTH];
    unsigned depth = gen->program.depth;
    uint64_t random = seed;
    ret->n = depth / 2 + (uint32_t)(kp_gen_random(&random) % (depth + 1));
    ret->n = ret->n < 1 ? 1 : ret->n > KP_GEN_MAX_DEPTH ? KP_GEN_MAX_DEPTH : ret->n;
    uint64_t r = kp_gen_random(&random);
    uint32_t roots = gen->program.functions < ROOTS ? gen->program.functions : ROOTS;
    walk(gen, &random, (uint32_t)((r & r >> 8) % roots), 0, sites, ret->n);
    ret->sites = kp_memdup(sites, ret->n * sizeof *sites);
}

const struct kp_gen_stack *kp_gen_stacks(struct kp_gen *gen, enum kp_gen_kind kind)
{
    if (gen->stacks[kind])
        return gen->stacks[kind];
    unsigned n = gen->program.stacks;
    size_t mask = 4;
    while (mask < (size_t)4 * n)
        mask *= 2;
    kp_auto_free uint64_t *seen = KP_NEW_ARRAY(uint64_t, mask--);
    struct kp_gen_stack *stacks = KP_NEW_ARRAY(struct kp_gen_stack, (size_t)n + 1);
    for (unsigned i = 0, tries = 0; i < n; tries++) {
        make_stack(gen, kp_gen_seed(gen->program.seed, 4, kind, (uint64_t)i << 32 | tries), &stacks[i]);
        uint64_t h = stack_hash(stacks[i].sites, stacks[i].n) | 1;
        size_t at = h & mask;
        while (seen[at] != 0 && seen[at] != h)
            at = (at + 1) & mask;
        if (seen[at] == h && tries < 100) { // there already, and a small program may have no others
            kp_free(stacks[i].sites);
            continue;
        }
        seen[at] = h;
        tries = 0;
        i++;
    }
    gen->stacks[kind] = stacks;
    return stacks;
}

void kp_gen_new_stack(
    const struct kp_gen *gen, const struct kp_gen_stack *from, uint64_t seed, struct kp_gen_stack *ret)
{
    uint64_t random = seed;
    uint32_t keep = (uint32_t)(from->n - kp_gen_random(&random) % (from->n / 2 + 1)) - 1; // callers
    uint32_t down = 4 + (uint32_t)(kp_gen_random(&random) % (gen->program.depth / 2 + 1));
    if (down > KP_GEN_MAX_DEPTH - keep)
        down = KP_GEN_MAX_DEPTH - keep;
    ret->n = keep + down;
    memcpy(ret->sites + down, from->sites + from->n - keep, keep * sizeof *ret->sites);
    uint32_t function = keep > 0 ? callee(gen, ret->sites[down]) : from->sites[from->n - 1] / KP_GEN_SITES;
    walk(gen, &random, function, 3, ret->sites, down);
}
