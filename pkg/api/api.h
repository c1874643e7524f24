// The registry's HTTP API: profiles (upload, list, fetch, delete), services, targets as the controller posted
// them, and the upload of profefe's API. Handlers run on the loop; walking profiles and reading the store run
// in jobs; everything that writes goes through one worker, which commits what waits together.
#ifndef KP_API_API_H
#define KP_API_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aio/loop.h"
#include "base/error.h"
#include "base/metrics.h"
#include "http/server.h"
#include "serve/gate.h"
#include "store/store.h"

struct kp_api;

struct kp_api_options {
    struct kp_loop *loop;
    struct kp_store *store;           // outlives the api
    struct kp_metrics *metrics;       // may be NULL
    int64_t (*now_ms)(void);          // NULL = wall clock
    size_t max_waiting;               // uploads between body and answer; beyond it 429; 0 = 4096
    size_t max_waiting_bytes;         // their bodies; 0 = 256 MiB
    size_t max_state_bytes;           // target states kept, encoded; 0 = 64 MiB
    int64_t retain_every_ms;          // 0 = 60 s
    int64_t review_every_ms;          // whether those who watch still may; 0 = 30 s
    int64_t aggregated_timeout_ms;    // sums asked for through the API server; 0 = 55 s: it gives up after 60
    size_t max_merges;                // answers made of many profiles, at the same time; beyond it 429; 0 = 4
    size_t max_merges_per_namespace;  // 0 = half of them, where more than one asks
    int64_t max_ingest_per_namespace; // bytes a second of uploads, for 10 s at once; 0 = no limit
    size_t max_unsent_bytes; // answers that wait for their clients to read; beyond it 429; 0 = 256 MiB
    // Profiles stay in the log because they could not be sealed; it is tried again. NULL = not told.
    void (*on_seal_failed)(void *user, const struct kp_error *err);
    // Profiles cannot be stored, or for another reason than before; NULL = again they can.
    void (*on_store_trouble)(void *user, const struct kp_error *err);
    // From the start on nothing of a namespace is shown until POST namespaces has told how old it is, or that
    // of all of them (decisions/0008). After so long who may read all namespaces is shown them all the same;
    // 0 = nobody waits.
    int64_t await_namespaces_ms;
    void (*on_namespaces)(void *user, bool told); // they were told; or not in that time. NULL = not told
    void *user;                                   // of all
    bool accept_empty;                            // /api/0 takes profiles without samples
    struct kp_gate gate;                          // who is it, may he; zero = everyone
    const char *namespace; // the registry's own: who may do what to it there may write captures; NULL = ""
};

struct kp_api *kp_api_create(const struct kp_api_options *options);
// Waits for what runs (uploads that were accepted become durable), then frees. On the loop thread, when the
// HTTP servers no longer call in.
void kp_api_destroy(struct kp_api *api); // NULL is fine

// Writes the rows of the API (no row of zeroes) to a table for kp_http_server_listen(), whose user must be
// the api.
#define KP_API_ROUTES 58
size_t kp_api_add_routes(struct kp_http_route out[KP_API_ROUTES]);

// Words errors of the aggregated API as Kubernetes does: for listeners with these rows.
bool kp_api_word_error(const struct kp_http_exchange *x, int status, const char *reason, const char *message,
    struct kp_strbuf *out);

// The gate of listeners with these rows (user: the api).
void kp_api_gate(struct kp_http_exchange *x, void *user);

// Who asked for what, for an audit: of a request for something of profiles (not for a push), let in or not.
// Borrowed, as long as the exchange.
struct kp_api_described {
    const char *user;      // "" = not known
    const char *verb;      // "list"
    const char *namespace; // that was asked for; "" = all, or not known
    char resource[64];     // "profiles/merge"
};
// false: the request shows nothing of profiles.
bool kp_api_describe(const struct kp_http_exchange *x, struct kp_api_described *ret);

// Ends answers that have no end of their own (watches), so that the server can drain.
void kp_api_end_watches(struct kp_api *api);

// To be called from the server's on_access: keeps the metrics profefe has for its API.
void kp_api_on_access(
    struct kp_api *api, const struct kp_http_exchange *x, int status, size_t bytes_sent, double seconds);

// Checks for kp_serve_add_check() with the api as its user. ready: the data folder is there, so that profiles
// can be read; also while it says that namespaces were not told yet. writes: profiles can be stored: the disk
// is not full, takes writes, and ends them.
bool kp_api_ready(void *api, const char **ret_why_not);
bool kp_api_writes(void *api, const char **ret_why_not);

// A gauge of the api, for who has to tell the same before there is one.
#define KP_STORE_FAILING_METRIC "kube_pprof_registry_store_failing"
#define KP_STORE_FAILING_HELP                                                                                \
    "1 while profiles are refused because the data folder cannot be written, cannot be opened, or is gone."

#endif
