#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# build.sh BINARY VERSION OUT: an OCI image of the binary and the Debian libraries that it needs,
# without a daemon. The same packages and sources give the same bytes: files carry the time of
# the last commit. Writes OUT/reqtap.oci.tar, OUT/sbom.spdx.json and OUT/digest.
set -eu
umask 022
binary=$1 version=$2 out=$3
here=$(dirname "$0")
epoch=$(git -C "$here" log -1 --format=%ct 2>/dev/null || stat -c %Y "$binary")
mkdir -p "$out"
out=$(realpath "$out")
work=$(mktemp -d "$out/work-XXXXXX")
trap 'rm -rf "$work"' EXIT
export SOURCE_DATE_EPOCH="$epoch" PACKAGES="$work/packages"

# the package of each library that the binary is linked with; /lib is /usr/lib, and dpkg knows one
# name of each
libraries=$(ldd "$binary" | awk '$2 == "=>" { print $3 }')
# shellcheck disable=SC2046,SC2086 # lists of names; one question, since each reads dpkg's whole list
owners=$(dpkg-query -S $libraries $(readlink -f $libraries) 2>/dev/null || true)
packages=
for library in $libraries; do
	found=$(echo "$owners" | grep -m 1 -e ": $library\$" -e ": $(readlink -f "$library")\$") || {
		echo "image: $library belongs to no Debian package" >&2
		exit 1
	}
	packages="$packages ${found%%:*}"
done

# extract: no shell, no package manager, no maintainer scripts
# shellcheck disable=SC2016,SC2086 # mmdebstrap expands the hook; lists of names
mmdebstrap --quiet --variant=extract --include="$(echo $packages ca-certificates tzdata | tr ' ' ,)" \
	--extract-hook='for deb in "$1"/var/cache/apt/archives/*.deb; do
		dpkg-deb --show --showformat="\${Package} \${Version} \${Architecture}\n" "$deb"; done >"$PACKAGES"' \
	--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
	--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
	bookworm "$work/root.tar"
mkdir "$work/root"
tar -C "$work/root" -xf "$work/root.tar" --exclude='./dev/*'
root=$work/root
rm -rf "$root/var/lib/dpkg" "$root/var/cache" "$root/var/log" "$root/var/lib/apt" "$root/usr/sbin" \
	"$root/usr/share/doc/ca-certificates" "$root/etc/apt"
find "$root/usr/bin" -type f -delete
mkdir -p "$root/etc/ssl/certs" "$root/var/lib/reqtap" "$root/usr/bin" "$root/usr/share/sbom"
cat "$root"/usr/share/ca-certificates/mozilla/*.crt >"$root/etc/ssl/certs/ca-certificates.crt"
printf 'root:x:0:0::/:/\nreqtap:x:65532:65532::/:/\n' >"$root/etc/passwd"
printf 'root:x:0:\nreqtap:x:65532:\n' >"$root/etc/group"
install -m 755 "$binary" "$root/usr/bin/reqtap"
# the build id is of the debug information too, and that of where the sources lay
strip --remove-section=.note.gnu.build-id "$root/usr/bin/reqtap"
python3 "$here/sbom.py" "$work/packages" "$version" "$root/usr/bin/reqtap" "$epoch" >"$out/sbom.spdx.json"
cp "$out/sbom.spdx.json" "$root/usr/share/sbom/"
tar -C "$root" --sort=name --mtime="@$epoch" --owner=0 --group=0 --numeric-owner -cf "$work/layer.tar" .

store="--root $work/store --runroot $work/run --storage-driver vfs"
# shellcheck disable=SC2086
{
	container=$(buildah $store from scratch)
	buildah $store add --quiet "$container" "$work/layer.tar" / >/dev/null
	buildah $store config --entrypoint '["/usr/bin/reqtap"]' --cmd agent --user 65532:65532 \
		--label org.opencontainers.image.title=reqtap --label org.opencontainers.image.version="$version" \
		--label org.opencontainers.image.licenses=Apache-2.0 "$container"
	buildah $store commit --quiet --timestamp "$epoch" --format oci "$container" \
		"oci:$work/layout:reqtap:$version" >/dev/null
}
tar -C "$work/layout" --sort=name --mtime="@$epoch" --owner=0 --group=0 --numeric-owner --mode=u+rwX,go+rX \
	-cf "$out/reqtap.oci.tar" blobs index.json oci-layout
python3 -c 'import json, sys; print(json.load(sys.stdin)["manifests"][0]["digest"])' <"$work/layout/index.json" |
	tee "$out/digest"
