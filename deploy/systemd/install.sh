#!/bin/sh
# Installs etcd-ipam as a systemd service that is there before the engine, from a checkout that was built:
#
#   npm ci --ignore-scripts && npm run build && sudo deploy/systemd/install.sh
#
# Run again it upgrades; calls of the engine wait in the socket meanwhile. DESTDIR=DIR installs below DIR and starts
# nothing. It reaches no network: the packages are in the program.
set -eu

usage() {
  cat <<USAGE
usage: [DESTDIR=DIR] install.sh [--prefix DIR] [--node FILE]
       [DESTDIR=DIR] install.sh [--prefix DIR] --uninstall

  --prefix DIR   where the program goes, /usr/lib/etcd-ipam by default
  --node FILE    the Node.js that runs it, 20.19 or newer; /usr/bin/node by default, else the one on PATH
  --uninstall    stops and removes it; the settings and what is in etcd stay
USAGE
}

fail() {
  echo "install.sh: $1" >&2
  exit 1
}

prefix=/usr/lib/etcd-ipam
node=
uninstall=
while [ $# -gt 0 ]; do
  case $1 in
    --prefix | --node)
      [ $# -gt 1 ] || fail "$1 needs a value"
      case $2 in
        *[!A-Za-z0-9/._+-]*) fail "$1 is \"$2\": letters, digits and / . _ + - only" ;;
        /?*) ;;
        *) fail "$1 is \"$2\": an absolute path" ;;
      esac
      if [ "$1" = --prefix ]; then prefix=${2%/}; else node=$2; fi
      shift
      ;;
    --uninstall) uninstall=yes ;;
    --help)
      usage
      exit
      ;;
    *)
      usage >&2
      exit 2
      ;;
  esac
  shift
done

root=${DESTDIR:-}
root=${root%/}
place=$root$prefix
units=$root/etc/systemd/system
settings=/etc/etcd-ipam/etcd-ipam.env
command=$root/usr/local/bin/etcd-ipam
source=$(cd "$(dirname "$0")" && pwd -P)
checkout=$(dirname "$(dirname "$source")")

# What stands there is replaced as a whole: nothing, or an installation, which has no lock file as a checkout has.
if [ -e "$place" ] && { [ ! -f "$place/dist/main.js" ] || [ -e "$place/package-lock.json" ]; }; then
  fail "$place is there and was not installed by this"
fi
command -v systemctl >/dev/null || fail "systemctl is not on PATH: this is for hosts with systemd"
[ -n "$root" ] || [ "$(id -u)" = 0 ] || fail "run it as root, or with DESTDIR"
running=
if [ -z "$root" ] && [ -d /run/systemd/system ]; then running=yes; fi

# --root makes and removes the links alone, with and without an init that runs.
enabling() {
  systemctl --quiet --root="${root:-/}" "$1" etcd-ipam.socket etcd-ipam.service
}

if [ -n "$uninstall" ]; then
  [ -z "$running" ] || systemctl stop etcd-ipam.socket etcd-ipam.service
  [ ! -e "$units/etcd-ipam.service" ] || enabling disable
  rm -f "$units/etcd-ipam.service" "$units/etcd-ipam.socket" "$command"
  rm -rf "$place"
  [ -z "$running" ] || systemctl daemon-reload
  echo "Removed. Kept: $root$settings, and what is in etcd."
  exit
fi

[ -e "$checkout/dist/main.js" ] || fail "$checkout/dist/main.js is missing: npm ci --ignore-scripts && npm run build"
if [ -z "$node" ]; then
  if [ -x /usr/bin/node ]; then node=/usr/bin/node; else node=$(command -v node) || fail "no node on PATH: --node FILE"; fi
fi
[ -x "$node" ] || fail "$node is no program"
# An installation below DESTDIR is for another host, and so is the path of its node.
for seen in "$prefix" ${running:+"$(readlink -f "$node")"}; do
  case $seen in
    /home/* | /root/* | /run/user/* | /tmp/* | /var/tmp/*) fail "$seen is out of the service's sight, as are all homes and /tmp" ;;
  esac
done
"$node" -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' ||
  fail "$node is older than 20.19: --node FILE"

# Beside the old one and then in its place, so that what runs or starts finds a whole one.
umask 022
rm -rf "$place.new" "$place.old"
mkdir -p "$place.new"
for path in package.json LICENSE README.md dist; do cp -R "$checkout/$path" "$place.new/$path"; done
chmod -R u=rwX,go=rX "$place.new"
if [ -e "$place" ]; then mv "$place" "$place.old"; fi
mv "$place.new" "$place"
rm -rf "$place.old"

mkdir -p "$units" "$(dirname "$command")"
for unit in etcd-ipam.socket etcd-ipam.service; do
  sed "s|/usr/bin/node|$node|g; s|/usr/lib/etcd-ipam|$prefix|g" "$source/$unit" >"$units/$unit"
done
printf '#!/bin/sh\nexec %s %s/dist/main.js "$@"\n' "$node" "$prefix" >"$command"
chmod 755 "$command"
# It may hold a password.
if [ ! -e "$root$settings" ]; then
  mkdir -p "$root$(dirname "$settings")"
  (umask 077 && cp "$source/etcd-ipam.env" "$root$settings")
fi
enabling enable

if [ -n "$running" ]; then
  systemctl daemon-reload
  systemctl start etcd-ipam.socket
  systemctl restart etcd-ipam.service
  echo "Installed, enabled and started. Settings: $settings, and then systemctl restart etcd-ipam.service"
else
  echo "Installed and enabled${root:+ below $root}, not started. Settings: $root$settings"
fi
