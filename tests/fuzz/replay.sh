#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# replay.sh FUZZER CORPUS: runs each input of the corpus once; prints TAP.
set -u
name=$(basename "$1")
if [ -z "$(ls -A "$2" 2>/dev/null)" ]; then
	echo "not ok 1 - $name has no corpus in $2"
	exit 1
fi
if "$1" -runs=0 -close_fd_mask=1 "$2" 2>&1; then
	echo "ok 1 - $name replays $(find "$2" -type f | wc -l) inputs"
else
	echo "not ok 1 - $name"
	exit 1
fi
