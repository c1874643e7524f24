// Text inside HTML and XML. Private to this module.
#ifndef KP_REPORT_MARKUP_H
#define KP_REPORT_MARKUP_H

#include "base/strbuf.h"

// Escapes what means something to HTML or XML, also inside quotes; what neither may hold (control characters,
// bytes that are no UTF-8, U+FFFE, U+FFFF) becomes U+FFFD.
void kp_markup_add(struct kp_strbuf *out, const char *text);

#endif
