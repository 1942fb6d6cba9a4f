#!/usr/bin/env bash
# tools/check_bare.sh [make argument...]: runs `make demo`, or make with the arguments given, on a
# bare Debian 12 with git and make: a fresh clone of HEAD in a debootstrap root. Needs root.
#
#   BARE_DIR     where the roots lie (default /var/tmp/tandem-bare); the base is made once and kept
#   BARE_MIRROR  the Debian mirror (default http://deb.debian.org/debian)
#   BARE_DATA    folder of shared data to mount beside the clone; none by default
#
# The host's DNS, proxy, pip and certificate settings are handed in; nothing else of it is.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
dir=${BARE_DIR:-/var/tmp/tandem-bare}
mirror=${BARE_MIRROR:-http://deb.debian.org/debian}
root=$dir/root
[ "$(id -u)" -eq 0 ] || { echo "check_bare.sh: needs root for debootstrap and chroot" >&2; exit 1; }
command -v debootstrap >/dev/null ||
  { echo "check_bare.sh: apt-get install debootstrap" >&2; exit 1; }
[ $# -gt 0 ] || set -- demo

mkdir -p "$dir"
if [ ! -e "$dir/base.tar" ]; then
  echo "Making the base system"
  rm -rf "$root"
  debootstrap --variant=minbase --include=git,make bookworm "$root" "$mirror" >"$dir/debootstrap.log"
  printf 'deb %s bookworm main\ndeb %s bookworm-updates main\ndeb %s-security bookworm-security main\n' \
    "$mirror" "$mirror" "$mirror" >"$root/etc/apt/sources.list"
  tar -C "$root" -cf "$dir/base.tar.part" .
  mv "$dir/base.tar.part" "$dir/base.tar"
fi

rm -rf "$root"
mkdir -p "$root"
tar -C "$root" -xf "$dir/base.tar"
cp /etc/resolv.conf /etc/hosts "$root/etc/"
mkdir -p "$root/work"
git clone --quiet --no-hardlinks "$repo" "$root/work/tandem"

settings=(HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb)
for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY PIP_INDEX_URL \
  PIP_DEFAULT_TIMEOUT; do
  [ -n "${!name:-}" ] && settings+=("$name=${!name}")
done
if [ -n "${PIP_CERT:-}" ]; then
  cp "$PIP_CERT" "$root/etc/host-ca.crt"
  settings+=(PIP_CERT=/etc/host-ca.crt)
fi

# The mounts live in a namespace of their own and go with it, also when this script is killed.
export BARE_DATA=${BARE_DATA:-} root
# shellcheck disable=SC2016  # expands in the inner shell
unshare --mount bash -euc '
  mount --bind /proc "$root/proc"
  mount --bind /dev "$root/dev"
  if [ -n "$BARE_DATA" ]; then
    mkdir -p "$root/work/shared/data"
    mount --bind "$BARE_DATA" "$root/work/shared/data"
  fi
  start=$SECONDS status=0
  chroot "$root" env -i "$@" || status=$?
  echo "check_bare.sh: exit status $status after $((SECONDS - start)) s"
  exit $status
' _ "${settings[@]}" make -C /work/tandem "$@"
