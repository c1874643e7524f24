// The package a function belongs to, read from its name. Private to this module.
#ifndef KP_REPORT_PACKAGE_H
#define KP_REPORT_PACKAGE_H

#include <stddef.h>

// Length of the part of name that is the package: "net/http" of "net/http.(*conn).serve", "std::io" of
// "std::io::Read::read", 0 where the name has none ("memmove", "memcpy.part.0").
size_t kp_package_length(const char *name, size_t len);

#endif
