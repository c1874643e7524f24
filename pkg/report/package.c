#include "report/package.h"

#include <string.h>

#include "base/alloc.h"
#include "base/banned.h"

// What C compilers hang behind a name.
static const char *const suffixes[] = {
    ".part.", ".constprop.", ".isra.", ".cold", ".llvm.", ".lto_priv.", ".localalias"};

static size_t without_suffixes(const char *name, size_t len)
{
    for (size_t i = 0; i < KP_COUNT(suffixes); i++) {
        const char *at = memmem(name, len, suffixes[i], strlen(suffixes[i]));
        if (at)
            len = (size_t)(at - name);
    }
    return len;
}

// Up to where arguments, receivers or type parameters begin: those hold slashes and dots of other packages.
static size_t plain_length(const char *name, size_t len)
{
    size_t n = 0;
    while (n < len && name[n] != '(' && name[n] != '[' && name[n] != '<' && name[n] != '{' && name[n] != ' ')
        n++;
    return n;
}

// C++ and Rust: all but the last two parts of a::b::Type::method, but at least the first.
static size_t namespace_length(const char *name, size_t n)
{
    size_t ends[3] = {0, 0, 0}; // of the last three parts that end in ::
    for (size_t i = 0; i + 1 < n; i++) {
        if (name[i] != ':' || name[i + 1] != ':')
            continue;
        ends[0] = ends[1];
        ends[1] = ends[2];
        ends[2] = i++;
    }
    return ends[1] != 0 ? ends[1] : ends[2];
}

size_t kp_package_length(const char *name, size_t len)
{
    size_t n = plain_length(name, len);
    size_t scope = namespace_length(name, n);
    if (scope > 0)
        return scope;
    n = plain_length(name, without_suffixes(name, len));
    const char *slash = memrchr(name, '/', n);
    size_t from = slash ? (size_t)(slash - name) : 0;
    const char *dot = memchr(name + from, '.', n - from);
    return dot ? (size_t)(dot - name) : 0;
}
