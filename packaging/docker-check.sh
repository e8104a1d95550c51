#!/usr/bin/env bash
# Build the Docker image where no Docker engine runs, and run it: buildah, over a base image that debootstrap makes.
#
# usage: packaging/docker-check.sh [OPTION...]    options are passed on to `buildah build`, such as --volume or --build-arg
#
# Needs root, buildah and debootstrap. The base image is kept in build/ for the next time, everything else is removed.
set -euo pipefail
cd "$(dirname "$0")/.."

base=$PWD/build/bookworm.tar
store=$(mktemp -d "${TMPDIR:-/tmp}/ghost-docker.XXXXXX")
trap 'rm -rf "$store"' EXIT
buildah() { command buildah --storage-driver vfs --root "$store/root" --runroot "$store/run" "$@"; }

if [ ! -f "$base" ]; then
    echo "docker-check: making the base image"
    debootstrap --variant=minbase bookworm "$store/base" >"$store/debootstrap.log" || { tail "$store/debootstrap.log" >&2; exit 1; }
    mkdir -p build
    tar -C "$store/base" --one-file-system -cf "$base.unfinished" .
    mv "$base.unfinished" "$base"
    rm -rf "$store/base"
fi

echo "docker-check: importing the base image"
container=$(buildah from scratch)
buildah add --quiet "$container" "$base" / >/dev/null
buildah commit --quiet "$container" docker.io/library/debian:bookworm-slim >/dev/null
buildah rm "$container" >/dev/null

echo "docker-check: building"
buildah build --pull-never --isolation chroot --network host "$@" --tag ghost_tunnel .

echo "docker-check: running"
buildah inspect --type image --format \
    $'entry point {{.OCIv1.Config.Entrypoint}}, ports {{.OCIv1.Config.ExposedPorts}}, volumes {{.OCIv1.Config.Volumes}}\n' ghost_tunnel
container=$(buildah from --pull-never ghost_tunnel)
buildah run --isolation chroot --cap-add CAP_NET_ADMIN "$container" ghosttunnel --help
size=$(du -sm "$(buildah mount "$container")" | cut -f1)
echo "docker-check: passed, the image has $size MB"
