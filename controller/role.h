// The two roles. argv[0] is the command's name. They return the exit status: 0 all well, 1 failed, 2 wrong
// usage.
#ifndef KP_CONTROLLER_ROLE_H
#define KP_CONTROLLER_ROLE_H

int kp_controller_main(int argc, char **argv);
int kp_registry_main(int argc, char **argv);

// What the chart runs.
int kp_apiservice_remove_main(int argc, char **argv);
int kp_policy_apply_main(int argc, char **argv);
int kp_check_main(int argc, char **argv);

#endif
