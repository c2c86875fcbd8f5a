#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Style, shell, spelling, the length of files and functions, the length of map names.
set -eu
cd "$(dirname "$0")/.."
bad=0
c_files=$(git ls-files '*.c' '*.h')
fail() {
	echo "lint: $1"
	bad=1
}
# shellcheck disable=SC2086 # a list of names
clang-format --dry-run -Werror $c_files || fail "clang-format: run 'make format'"
git grep -IlE '^#! ?/(usr/)?bin/(env )?(ba)?sh' | xargs -r shellcheck || fail "shellcheck"
git ls-files '*.c' '*.h' '*.md' '*.py' '*.sh' | xargs -r codespell -L te,mis,ser,ot,inflight,nd,fo || fail "codespell"
for file in $c_files; do
	lines=$(wc -l <"$file")
	[ "$lines" -le 500 ] || fail "$file has $lines lines: is there a noun in it that wants a file?"
	head -n 1 "$file" | grep -q SPDX-License-Identifier || fail "$file has no SPDX line"
done
# shellcheck disable=SC2086
long=$(ctags -f - --kinds-C=f --languages=C --map-C=+.h --fields=+ne $c_files 2>/dev/null |
	awk -F'\t' '{ for (i = 4; i <= NF; i++) { if ($i ~ /^line:/) l = substr($i, 6); if ($i ~ /^end:/) e = substr($i, 5) }
		if (e - l >= 80) print $2 ":" l " " $1 " has " e - l + 1 " lines" }')
[ -z "$long" ] || fail "functions over 80 lines:
$long"
grep -hoE '^} rt_[a-z0-9_]+ SEC' bpf/*.h bpf/*.c | awk 'length($2) > 15 { print "lint: map name over 15 characters: " $2; bad = 1 } END { exit bad }' || bad=1
exit $bad
