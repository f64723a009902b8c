#!/usr/bin/env bash
# The first process of a private host (see private-host.mjs): hides the machine's sockets and runs one command.
set -euo pipefail

# An empty /run: no plugin sockets, no engine, no init and no firewall daemon of the machine is in reach from here.
mount -t tmpfs -o mode=755 none /run
mkdir /run/docker /run/lock
if [[ -d /dev/shm ]]; then mount -t tmpfs none /dev/shm; fi
IFS=: read -ra covered <<<"$ETCD_IPAM_TEST_COVER"
for folder in "${covered[@]}"; do mount -t tmpfs none "$folder"; done
ip link set lo up

# Job control gives the command default signals; bash reaps what containers and engines orphan.
set -m
"$@" <&0 &
child=$!
set +m
trap 'kill -INT "$child"' INT
trap 'kill -TERM "$child"' TERM HUP
code=0
while kill -0 "$child" 2>/dev/null; do
  code=0
  wait "$child" || code=$?
done
exit "$code"
