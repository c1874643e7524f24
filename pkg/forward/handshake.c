#include "forward/handshake.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "base/banned.h"

#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

void kp_handshake_init(struct kp_handshake *handshake, const unsigned char key[16])
{
    unsigned char text[25], digest[EVP_MAX_MD_SIZE];
    char joined[64];
    unsigned n = 0;
    memset(handshake, 0, sizeof *handshake);
    EVP_EncodeBlock(text, key, 16);
    snprintf(handshake->key, sizeof handshake->key, "Sec-WebSocket-Key: %s", (const char *)text);
    kp_copy(handshake->version, sizeof handshake->version, "Sec-WebSocket-Version: 13");
    kp_copy(handshake->protocol, sizeof handshake->protocol, "Sec-WebSocket-Protocol: " KP_WS_PROTOCOL);
    int len = snprintf(joined, sizeof joined, "%s%s", (const char *)text, GUID);
    if (EVP_Digest(joined, (size_t)len, digest, &n, EVP_sha1(), NULL) == 1 && n == 20)
        EVP_EncodeBlock((unsigned char *)handshake->expected, digest, 20);
}

static void say_wrong(struct kp_handshake *handshake, const char *what, const char *value)
{
    char shown[48];
    if (handshake->wrong[0] == '\0')
        snprintf(handshake->wrong, sizeof handshake->wrong, "%s is '%s'", what,
            kp_printable(shown, sizeof shown, value, strlen(value)));
}

static bool has_word(const char *list, const char *word)
{
    size_t n = strlen(word);
    while (*list != '\0') {
        list += strspn(list, ", \t");
        size_t len = strcspn(list, ", \t");
        if (len == n && strncasecmp(list, word, n) == 0)
            return true;
        list += len;
    }
    return false;
}

void kp_handshake_header(struct kp_handshake *handshake, const char *name, const char *value)
{
    if (strcasecmp(name, "Sec-WebSocket-Accept") == 0) {
        handshake->accept_ok = handshake->expected[0] != '\0' && kp_streq(value, handshake->expected);
        if (!handshake->accept_ok)
            say_wrong(handshake, "the answer to our key", value);
    } else if (strcasecmp(name, "Sec-WebSocket-Protocol") == 0) {
        handshake->protocol_ok = kp_streq(value, KP_WS_PROTOCOL);
        if (!handshake->protocol_ok)
            say_wrong(handshake, "the subprotocol", value);
    } else if (strcasecmp(name, "Sec-WebSocket-Extensions") == 0) {
        if (value[0] != '\0')
            say_wrong(handshake, "an extension nobody asked for", value);
    } else if (strcasecmp(name, "Upgrade") == 0) {
        handshake->upgrade_ok = has_word(value, "websocket");
    } else if (strcasecmp(name, "Connection") == 0) {
        handshake->connection_ok |= has_word(value, "upgrade");
    }
}

int kp_handshake_check(const struct kp_handshake *handshake, struct kp_error *err)
{
    if (handshake->wrong[0] != '\0')
        return kp_fail(err, KP_INVALID, "the server's WebSocket handshake is wrong: %s", handshake->wrong);
    if (!handshake->upgrade_ok || !handshake->connection_ok || !handshake->accept_ok)
        return kp_fail(err, KP_INVALID, "the server's answer is not a WebSocket handshake");
    if (!handshake->protocol_ok)
        return kp_fail(err, KP_INVALID,
            "the server does not speak the WebSocket subprotocol '" KP_WS_PROTOCOL "' (it named none)");
    return 0;
}
