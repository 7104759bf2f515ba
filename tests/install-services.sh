#!/bin/sh
# Installs the servers that the tests start for themselves, where this account may. It never fails:
# tests whose server is missing are skipped, and with REQUIRE_SERVICES=1 they fail.
set -eu

PATH="$PATH:/usr/sbin:/sbin:/usr/local/sbin:/usr/local/bin:/usr/libexec:/opt/homebrew/bin"

has() { command -v "$1" >/dev/null 2>&1; }
ready() { has mariadbd && has redis-server; }
as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi; }

if ready; then
    exit
fi

hint="install mariadb-server and redis-server"
fetch() { false; }
if has apt-get; then
    # MariaDB without the package that would run it as a service of the system
    set -- install --no-install-recommends mariadb-server-core mariadb-client-core redis-server
    hint="sudo apt-get $*"
    fetch() {
        as_root apt-get update -qq && as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y "$@"
    }
elif has dnf; then
    set -- install mariadb-server redis
    hint="sudo dnf $*"
    fetch() { as_root dnf -q -y "$@"; }
elif has brew; then
    set -- install mariadb redis
    hint="brew $*"
    fetch() { brew "$@"; }
fi

echo "Installing MariaDB and Redis for the tests"
if ! { fetch "$@" >/dev/null && ready; }; then
    echo "The tests that need MariaDB or Redis are left out; to add them:" >&2
    echo "    $hint" >&2
fi
