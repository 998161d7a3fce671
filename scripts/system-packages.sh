#!/usr/bin/env bash
# Installs Debian packages whose programs are missing, where this user may; elsewhere says what to do.
#   scripts/system-packages.sh [COMMAND:]PACKAGE...
# It never fails: what needs such a program says so itself, and a test that needs it is skipped with that reason.
set -uo pipefail

missing=()
failed=()
for item in "$@"; do
    case $item in
        *:*) command -v "${item%%:*}" >/dev/null 2>&1 || missing+=("${item##*:}") ;;
        *) missing+=("$item") ;;
    esac
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    as_root=(sudo -n)
fi
by_hand() {
    echo "setup: missing programs: $1. Please install: apt-get install ${missing[*]} (or your system's own packages of that name)." >&2
    exit 0
}
command -v apt-get >/dev/null 2>&1 || by_hand "this system has no apt-get"
"${as_root[@]}" true 2>/dev/null || by_hand "this user is not root, and sudo asks for a password or is not there"

log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq "$@" </dev/null >>"$log" 2>&1
}
echo "setup: installing with apt-get: ${missing[*]}"
apt update || echo "setup: apt-get update failed; trying with the package lists that are here" >&2
if ! apt install -y --no-install-recommends "${missing[@]}"; then
    # one package that does not exist here must not cost the others
    for package in "${missing[@]}"; do
        apt install -y --no-install-recommends "$package" || failed+=("$package")
    done
    if [ ${#failed[@]} -gt 0 ]; then
        grep '^E:' "$log" >&2
        echo "setup: apt-get could not install: ${failed[*]}. Install them by hand if something asks for them." >&2
    fi
fi
