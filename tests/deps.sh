#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# tests/deps.sh GROUP…: installs the Debian packages of the groups that are missing.
set -eu

packages() {
	case $1 in
	build)
		echo gcc make pkg-config clang llvm bpftool libbpf-dev libelf-dev zlib1g-dev \
			protobuf-c-compiler libprotobuf-c-dev libcurl4-openssl-dev libisal-dev \
			libnghttp2-dev libjsmn-dev libcjson-dev libsqlite3-dev libsodium-dev \
			libmicrohttpd-dev uthash-dev libcap-ng-dev libzstd-dev
		;;
	demo) echo python3 curl ;;
	test)
		echo libcmocka-dev clang-format libclang-rt-14-dev python3-dev valgrind shellcheck codespell \
			universal-ctags g++ python3 python3-protobuf protobuf-compiler curl wrk \
			openssl python3-flask python3-fastapi python3-uvicorn python3-uvloop \
			python3-httptools python3-waitress gunicorn libcpp-httplib-dev openjdk-17-jdk-headless procps runc busybox-static \
			nginx-light tinyproxy-bin squid gdb prometheus python3-grpcio python3-h2 \
			"$(command -v containerd >/dev/null || echo containerd)" # Docker's repository has it too
		;;
	vm) echo qemu-system-x86 busybox-static cpio dpkg apt python3 curl runc protobuf-compiler ;;
	servers)
		echo python3-uvicorn python3-fastapi python3-uvloop python3-httptools python3-aiohttp \
			python3-hypercorn python3-tornado python3-gevent python3-websockets \
			python3-waitress python3-cheroot python3-zmq golang-go golang-golang-x-net-dev golang-google-grpc-dev python3-h2 python3-grpcio libgrpc++-dev pkg-config nodejs "$(command -v npm >/dev/null || echo npm)" node-express \
			libtomcat10-embed-java libjakarta-annotation-api-java libjetty9-java libservlet-api-java libnetty-java libgrpc-java libguava-java libperfmark-java \
			puma supervisor nginx-light php-fpm
		;;
	# another distribution of Node brings npm without Debian's package
	chart) echo python3-yaml python3-protobuf runc "$(command -v npm >/dev/null || echo npm)" ;;
	image) echo mmdebstrap buildah python3 git ;;
	page) echo python3 chromium chromium-driver python3-selenium fonts-dejavu-core ;;
	bench) echo python3 python3-protobuf protobuf-compiler python3-matplotlib valgrind wrk gunicorn nginx-light golang-go python3-fastapi python3-uvicorn ;;
	*) echo "deps.sh: no group '$1'" >&2 && exit 2 ;;
	esac
}

missing=
for group in "$@"; do
	for package in $(packages "$group"); do
		state=$(dpkg-query -W -f='${db:Status-Abbrev}' "$package" 2>/dev/null || true)
		case $state in ii*) ;; *) missing="$missing $package" ;; esac
	done
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ]; then
	echo "reqtap needs these Debian packages; install them as root: apt-get install$missing" >&2
	exit 1
fi
echo "installing:$missing"
apt-get update -qq
# shellcheck disable=SC2086 # a list of names
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
