#!/bin/sh
# Makes the etcd user of etcd-ipam: one role, which may read and write the keys under IPAM_PREFIX and nothing else. Every
# etcdctl command is printed before it runs. May be run again: that sets the password anew.
#
#   deploy/etcd-role.sh --password-file FILE         the password is the file's one line; "-" is standard input
#   deploy/etcd-role.sh --no-password                for client certificates, whose common name is the user's name
#     --user etcd-ipam   --role etcd-ipam   --prefix /etcd-ipam/      as they are unless given
#
# Where etcd is, and who may do this, etcdctl takes from the environment: ETCDCTL_ENDPOINTS, ETCDCTL_CACERT, ETCDCTL_CERT,
# ETCDCTL_KEY and, once authentication is enabled, ETCDCTL_USER=root:PASSWORD. No password is ever an argument, which all
# users of the machine could see.
set -eu

user=etcd-ipam
role=etcd-ipam
prefix=/etcd-ipam/
file=
none=

fail() {
  echo "$0: $*" >&2
  exit 1
}

while [ $# -gt 0 ]; do
  case $1 in
    --no-password) none=yes ;;
    --user | --role | --prefix | --password-file)
      [ $# -gt 1 ] || fail "$1 needs a value"
      case $1 in
        --user) user=$2 ;;
        --role) role=$2 ;;
        --prefix) prefix=$2 ;;
        --password-file) file=$2 ;;
      esac
      shift
      ;;
    *) fail "unknown argument $1; the head of this file says what there is" ;;
  esac
  shift
done

[ -n "$file" ] || [ -n "$none" ] || fail 'give --password-file FILE (or - for standard input), or --no-password'
[ -z "$file" ] || [ -z "$none" ] || fail 'give --password-file or --no-password, not both'
case $user in '' | *[:[:space:]]*) fail "\"$user\" is not a name for a user: no colon, no space" ;; esac
# As the plugin reads IPAM_PREFIX: with one slash at either end, or a neighbour's keys would be allowed too.
prefix=/$(printf %s "$prefix" | sed 's|^/*||; s|/*$||')/
[ "$prefix" != // ] || fail 'the prefix is empty: that would be all of etcd'

password=
if [ -n "$file" ]; then
  if [ "$file" = - ]; then password=$(cat); else password=$(cat -- "$file"); fi
  # etcdctl reads one word.
  case $password in '' | *[[:space:]]*) fail 'the password must be one word, without spaces' ;; esac
fi

etcdctl() {
  echo "+ etcdctl $*" >&2
  ETCDCTL_API=3 command etcdctl "$@"
}

quietly() {
  ETCDCTL_API=3 command etcdctl "$@" >/dev/null 2>&1
}

quietly role get "$role" || etcdctl role add "$role"
etcdctl role grant-permission "$role" --prefix=true readwrite "$prefix"
if quietly user get "$user"; then
  [ -n "$none" ] || printf '%s\n' "$password" | etcdctl user passwd "$user" --interactive=false
elif [ -n "$none" ]; then
  etcdctl user add "$user" --no-password
else
  printf '%s\n' "$password" | etcdctl user add "$user" --interactive=false
fi
etcdctl user grant-role "$user" "$role"
etcdctl role get "$role"
