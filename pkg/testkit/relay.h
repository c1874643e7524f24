// Something between a client and a peer, on loopback: TLS in front of a server that speaks none, or a proxy.
// Bytes go through unchanged. What goes wrong inside (no socket, no thread) fails the test.
#ifndef KP_TESTKIT_RELAY_H
#define KP_TESTKIT_RELAY_H

#include <stdbool.h>
#include <stddef.h>

#include "testkit/cert.h"

#define KP_RELAY_CONNECTIONS 64 // in all

enum kp_relay_kind {
    KP_RELAY_TLS,
    KP_RELAY_CONNECT, // HTTP proxy; knows CONNECT only
    KP_RELAY_SOCKS5,  // without authentication, for names
};

struct kp_relay_options {
    enum kp_relay_kind kind;
    int to_port;                          // of 127.0.0.1, wherever a proxy is asked to go
    const struct kp_test_cert *cert;      // TLS: its own
    const struct kp_test_cert *client_ca; // TLS: a client certificate by it is demanded; NULL = none
    const char *refusal;                  // CONNECT: the whole answer instead of 200; NULL = 200
};

struct kp_relay;

struct kp_relay *kp_relay_start(const struct kp_relay_options *options);
void kp_relay_stop(struct kp_relay *relay); // closes what is open, joins the threads, frees

int kp_relay_port(const struct kp_relay *relay);
size_t kp_relay_connections(struct kp_relay *relay); // whose note is there
// What the i-th connection was: TLS "SNI/common name of the client" ("-" for what is missing), CONNECT the
// head of the request, SOCKS5 "host:port". Good until stop; "" past the end.
const char *kp_relay_note(struct kp_relay *relay, size_t i);

#endif
