/* SPDX-License-Identifier: Apache-2.0 */
/* connection: `reqtap connection` alone, for tests on a machine where nothing else is built. */
#include "agent/cmd_connection.h"

int main(int argc, char **argv)
{
	return cmd_connection(argc, argv);
}
