#include "auth/auth.h"

#include "base/banned.h"
