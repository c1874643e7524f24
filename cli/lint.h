// What is to be said of one policy before it is applied: what the API server and the controller would refuse
// (errors), and what is allowed but rarely meant (warnings). Needs no cluster.
#ifndef KP_CLI_LINT_H
#define KP_CLI_LINT_H

#include <jansson.h>

struct kp_lint;

struct kp_lint *kp_lint_create(void); // reads the CRDs that are part of the program
void kp_lint_destroy(struct kp_lint *lint);
// Adds {"severity": "error"|"warning", "field", "message"} to findings; field "" = the object as a whole.
void kp_lint_object(struct kp_lint *lint, const json_t *object, json_t *findings);

#endif
