#include "pki/pki.h"

#include "base/banned.h"
