#include "controller/env.h"

#include <stdlib.h>

#include "base/banned.h"

const char *kp_env(const char *name)
{
    return getenv(name); // NOLINT(concurrency-mt-unsafe): nobody sets variables
}
