#!/bin/sh
# Installs the programs that the tests start, where this account may: before the tests without an
# argument, which never fails. `--missing` lists afterwards what is not there, whose tests were left
# out, and how it is installed; with REQUIRE_SERVICES=1 that is status 1.
set -eu

here="$(cd "$(dirname "$0")/.." && pwd)"
PATH="$PATH:$here/.venv/bin:/usr/sbin:/sbin:/usr/local/sbin:/usr/local/bin:/usr/libexec:/opt/homebrew/bin"

has() { command -v "$1" >/dev/null 2>&1; }
has_servers() { has mariadbd && has mariadb-dump && has redis-server; }
has_browser() { has chromium || has chromium-browser || has google-chrome; }
as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi; }
may_install() { as_root true 2>/dev/null; }

install() { false; }
unpack() { install "$@"; }
update() { true; }
servers="mariadb-server redis-server"
nginx="nginx"
node="nodejs"
systemd="systemd"
prometheus="prometheus"
hint="install"
if has apt-get; then
    # MariaDB without the package that would run it as a service of the system
    servers="mariadb-server-core mariadb-client redis-server"
    nginx="nginx-light"
    hint="sudo apt-get install --no-install-recommends"
    update() { as_root apt-get update -qq; }
    install() {
        as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get install --no-install-recommends -qq -y "$@"
    }
    # Before Debian 13, promtool's package would run Prometheus as a service: it is taken out of that.
    unpack() {
        if apt-cache show promtool >/dev/null 2>&1; then
            install promtool
            return
        fi
        folder="$(mktemp -d)"
        (
            cd "$folder" && apt-get -o APT::Sandbox::User=root download -qq "$1" &&
                dpkg-deb -x ./*.deb . && mkdir -p "$here/.venv/bin" &&
                cp usr/bin/promtool "$here/.venv/bin/"
        ) && status=0 || status=1
        rm -rf "$folder"
        return "$status"
    }
elif has dnf; then
    servers="mariadb-server redis"
    prometheus="golang-github-prometheus"
    hint="sudo dnf install"
    install() { as_root dnf install -q -y "$@"; }
elif has brew; then
    may_install() { true; }
    servers="mariadb redis"
    node="node"
    systemd=""
    hint="brew install"
    install() { brew install "$@"; }
fi

# $1: what to call it, $2: the packages, the rest: tells whether it is there
need() {
    name="$1"
    packages="$2"
    shift 2
    if "$@"; then
        return
    fi
    if [ "$mode" = --missing ]; then
        missing="$missing  $name: ${packages:+$hint }${packages:-not for this system}
"
    elif [ -n "$packages" ] && may_install; then
        if [ -z "$updated" ]; then
            updated=yes
            update || echo "The lists of packages are not up to date; those that are there are used" >&2
        fi
        echo "Installing $name for the tests"
        # shellcheck disable=SC2086
        "$with" $packages >/dev/null || echo "$name could not be installed" >&2
    fi
}

mode="${1:-}"
missing=""
updated=""
with="install"
need "bash" "bash" has bash
need "sed" "sed" has sed
need "curl" "curl" has curl
need "openssl" "openssl" has openssl
need "MariaDB and Redis" "$servers" has_servers
need "nginx" "$nginx" has nginx
need "faketime" "faketime" has faketime
need "Chromium" "chromium" has_browser
need "Node.js" "$node" has node
need "systemd" "$systemd" has systemd-analyze
with="unpack"
need "promtool" "$prometheus" has promtool

if [ -n "$missing" ]; then
    printf 'Not installed, and the tests that need it were left out:\n%s' "$missing" >&2
    [ "${REQUIRE_SERVICES:-}" != 1 ]
fi
