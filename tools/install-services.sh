#!/bin/sh
# Installs the servers and the browser that the tests start for themselves, where this account may.
# It never fails: tests whose program is missing are skipped, and with REQUIRE_SERVICES=1 they fail.
set -eu

PATH="$PATH:/usr/sbin:/sbin:/usr/local/sbin:/usr/local/bin:/usr/libexec:/opt/homebrew/bin"

has() { command -v "$1" >/dev/null 2>&1; }
has_servers() { has mariadbd && has mariadb-dump && has redis-server; }
has_nginx() { has nginx; }
has_faketime() { has faketime; }
has_browser() { has chromium || has chromium-browser || has google-chrome; }
as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi; }

fetch() { false; }
servers="mariadb-server redis-server"
nginx="nginx"
hint="install"
if has apt-get; then
    # MariaDB without the package that would run it as a service of the system
    servers="mariadb-server-core mariadb-client redis-server"
    nginx="nginx-light"
    hint="sudo apt-get install --no-install-recommends"
    fetch() {
        as_root apt-get update -qq && as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get install --no-install-recommends -qq -y "$@"
    }
elif has dnf; then
    servers="mariadb-server redis"
    hint="sudo dnf install"
    fetch() { as_root dnf install -q -y "$@"; }
elif has brew; then
    servers="mariadb redis"
    hint="brew install"
    fetch() { brew install "$@"; }
fi

# $1: what to call it, $2: the packages, $3: tells whether they are there
need() {
    if "$3"; then
        return
    fi
    echo "Installing $1 for the tests"
    # shellcheck disable=SC2086
    if ! { fetch $2 >/dev/null && "$3"; }; then
        echo "The tests that need $1 are left out; to add them:" >&2
        echo "    $hint $2" >&2
    fi
}

need "MariaDB and Redis" "$servers" has_servers
need "nginx" "$nginx" has_nginx
need "faketime" "faketime" has_faketime
need "Chromium" "chromium" has_browser
