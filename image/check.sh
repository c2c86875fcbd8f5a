#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# check.sh BINARY VERSION OUT: builds the image twice, the second time from a binary compiled anew
# in another directory, with another umask and time zone: the digest must be the same. Then runs
# what is in it.
set -eu
binary=$1 version=$2 out=$3
here=$(dirname "$0")
mkdir -p "$out"
scratch=$(mktemp -d "$out/check-XXXXXX")
trap 'rm -rf "$scratch"' EXIT

first=$("$here/build.sh" "$binary" "$version" "$scratch/one")
make -C "$here/.." -j2 OUTPUT="$(realpath "$scratch")/again" "$(realpath "$scratch")/again/reqtap" >/dev/null
second=$(umask 077 && TZ=Asia/Tokyo "$here/build.sh" "$scratch/again/reqtap" "$version" "$scratch/two")
echo "$first"
if [ "$first" != "$second" ]; then
	echo "image: the same sources gave two digests: $first, $second" >&2
	exit 1
fi
cmp "$scratch/one/reqtap.oci.tar" "$scratch/two/reqtap.oci.tar"
cmp "$scratch/one/sbom.spdx.json" "$scratch/two/sbom.spdx.json"

# the binary starts from the image's own files alone
mkdir "$scratch/layout" "$scratch/root"
tar -C "$scratch/layout" -xf "$scratch/one/reqtap.oci.tar"
for layer in "$scratch"/layout/blobs/sha256/*; do
	tar -tf "$layer" >/dev/null 2>&1 && tar -C "$scratch/root" -xf "$layer"
done
chroot "$scratch/root" /usr/bin/reqtap version
