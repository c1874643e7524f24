#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "pki/pki.h"
#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Any text as certificate, as key and as CA.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"registry.kube-pprof.svc"};
    kp_auto_free char *text = kp_strndup((const char *)data, size);
    struct kp_pki_facts facts;
    const struct kp_pki_pair pair = {text, text};
    if (kp_pki_read(text, &facts, NULL) == 0 &&
        memchr(facts.common_name, '\0', sizeof facts.common_name) == NULL)
        abort();
    if (kp_pki_check(&pair, text, names, 1, 1800000000000, NULL) == 0 && kp_pki_read(text, &facts, NULL) != 0)
        abort();
    return 0;
}
