// Lists that come in pages.
#ifndef KP_CLI_PAGES_H
#define KP_CLI_PAGES_H

#include "cli/ask.h"

// Asks for page after page of what (kp_ask_json) until there are no more, or limit items; appends them to
// items. *ret_more: whether the registry has more. KP_LIMIT where the list is longer than anybody's,
// KP_INVALID where it does not go on.
KP_MUST_CHECK int kp_pages_list(struct kp_cli *cli, const char *what, struct kp_query *query, size_t limit,
    json_t *items, bool *ret_more, struct kp_error *err);

#endif
