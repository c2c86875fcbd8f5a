/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_connection: `reqtap connection set|show|test|remove`. Returns the exit status. */
#ifndef REQTAP_CMD_CONNECTION_H
#define REQTAP_CMD_CONNECTION_H

int cmd_connection(int argc, char **argv);

#endif
