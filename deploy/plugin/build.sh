#!/bin/sh
# Makes the managed plugin of this repository on one engine, and does not enable it:
#
#   deploy/plugin/build.sh                            builds the image too; arguments go to `docker build`
#   IMAGE=etcd-ipam deploy/plugin/build.sh            from an image that is there, or that the engine pulls
#   PLUGIN=etcd-ipam:1.2 deploy/plugin/build.sh       under another tag, by which networks then have to call it
#
# Under another name than etcd-ipam it serves, too, but does not know its networks: on their subnets reconciliation ends
# nothing. What comes from a registry gets the name by `docker plugin install --alias etcd-ipam`.
#
# DOCKER_HOST and the like choose the engine as for every docker command; it may be on another machine. What is left
# behind is the plugin and the image; TMPDIR (/tmp) needs room for the image's files meanwhile.
set -eu

PLUGIN=${PLUGIN:-etcd-ipam}
IMAGE=${IMAGE:-}
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

if docker plugin inspect "$PLUGIN" >/dev/null 2>&1; then
  echo "$0: there is a plugin $PLUGIN already: docker plugin rm --force $PLUGIN" >&2
  exit 1
fi

work=
container=
clean() {
  if [ -n "$container" ]; then docker rm --force "$container" >/dev/null || :; fi
  if [ -n "$work" ]; then rm -rf "$work"; fi
}
trap clean EXIT
# A shell that a signal ends does not run what is set for EXIT, unless it exits by itself.
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

if [ -z "$IMAGE" ]; then
  IMAGE=etcd-ipam
  docker build --file "$here/../Dockerfile" --tag "$IMAGE" "$@" "$here/../.."
elif [ $# -gt 0 ]; then
  echo "$0: nothing is built of the image $IMAGE, so there is no use for: $*" >&2
  exit 1
fi

work=$(mktemp -d)
mkdir "$work/rootfs"
container=$(docker create "$IMAGE")
docker export --output "$work/rootfs.tar" "$container"
tar -x -f "$work/rootfs.tar" -C "$work/rootfs"
rm "$work/rootfs.tar"
# What runs as root on every host holds no package managers.
rm -rf "$work/rootfs/usr/local/lib/node_modules" "$work/rootfs/root/.npm" "$work"/rootfs/opt/yarn-*
cp "$here/config.json" "$work"
docker plugin create "$PLUGIN" "$work"
