#include "profile/keyed.h"

#include <sys/random.h>

#include "base/banned.h"

struct kp_keyed kp_keyed_random(void)
{
    struct kp_keyed key;
    // Without the kernel's numbers (a system call filter) the place of the stack has to do.
    if (getrandom(&key, sizeof key, 0) != (ssize_t)sizeof key)
        key = (struct kp_keyed){(uint64_t)(uintptr_t)&key, (uint64_t)(uintptr_t)&key * 0x9E3779B185EBCA87u};
    key.factor |= 1; // never 0
    return key;
}
