#!/usr/bin/env bash
# Installs what the bed of real clusters needs (packages.txt beside this file), where something of it is missing.
# Servers that Debian's packages would start stay off: the bed starts its own.
set -euo pipefail
if [[ $EUID -ne 0 || ! -e /etc/debian_version ]]; then
  echo "the bed of real clusters takes root on Debian 12 (docs/bed.md)" >&2
  exit 1
fi
mapfile -t packages < <(tr ' ' '\n' <"${0%/*}/packages.txt")
dpkg-query -W -f '${Status}\n' "${packages[@]}" 2>&1 | grep -qv '^install ok installed$' || exit 0
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
  trap 'rm -f "$policy"' EXIT
fi
for attempt in 1 2 3; do
  if apt-get -q -o DPkg::Lock::Timeout=600 update &&
    apt-get -qy -o DPkg::Lock::Timeout=600 install --no-install-recommends "${packages[@]}"; then
    exit 0
  fi
  echo "packages for the bed: attempt $attempt of 3 failed" >&2
  sleep 5
done
exit 1
