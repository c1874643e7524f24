// Texts made from the table of commands.
#ifndef KP_CLI_HELP_H
#define KP_CLI_HELP_H

#include <stdio.h>

#include "cli/command.h"

void kp_help_program(FILE *out);                                   // all commands
void kp_help_group(const char *group, FILE *out);                  // "policy"; all commands that begin so
void kp_help_command(const struct kp_command *command, FILE *out); // one, with its flags
void kp_help_flags(FILE *out);                                     // kubectl's connection flags
bool kp_help_is_group(const char *word);

#endif
