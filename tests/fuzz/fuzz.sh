#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# fuzz.sh OUTPUT SECONDS NAME: fuzzes every parser (or those whose name holds NAME) that long each.
set -eu
for fuzzer in "$1"/fuzz/fuzz_*; do
	case $fuzzer in *.d | *.o) continue ;; *"fuzz_"*"$3"*) ;; *) continue ;; esac
	name=${fuzzer##*/fuzz_}
	mkdir -p "$1/fuzz-corpus/$name" "$1/fuzz-findings"
	echo "fuzzing $name for $2 s"
	"$fuzzer" -max_total_time="$2" -artifact_prefix="$1/fuzz-findings/$name-" -print_final_stats=1 \
		"$1/fuzz-corpus/$name" "tests/fuzz/corpus/$name" >"$1/fuzz-findings/$name.log" 2>&1 || {
		tail -n 40 "$1/fuzz-findings/$name.log"
		exit 1
	}
	grep -E 'stat::number_of_executed_units|stat::peak_rss' "$1/fuzz-findings/$name.log"
done
