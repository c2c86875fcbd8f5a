/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command: the subcommands, one file each (cmd_run.c …). argv[0] is the subcommand's name.
 * They return the exit status.
 */
#ifndef REQTAP_COMMAND_H
#define REQTAP_COMMAND_H

#define EXIT_DONE 0
#define EXIT_FAILED 1
#define EXIT_USAGE 2
#define EXIT_CANNOT 77 /* cannot run here: the reason and the mend were printed */

#define STATE_DIR_DEFAULT "/var/lib/reqtap"

int cmd_run(int argc, char **argv);
int cmd_logs(int argc, char **argv);
int cmd_top(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_agent(int argc, char **argv);
int cmd_events(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_version(int argc, char **argv);

#endif
