// The parts of the flame graph's page (page/), embedded when the library is built. Private to this module.
#ifndef KP_REPORT_FLAME_PAGE_H
#define KP_REPORT_FLAME_PAGE_H

#include <stddef.h>

struct kp_page_part {
    const unsigned char *bytes;
    size_t len;
};

// The frame of the page; {{policy}}, {{title}}, {{style}}, {{data}} and {{script}} stand for what is filled
// in.
extern const struct kp_page_part kp_page_html, kp_page_style, kp_page_script;
// "sha256-...", for the page's Content-Security-Policy.
extern const char kp_page_style_hash[], kp_page_script_hash[];

#endif
