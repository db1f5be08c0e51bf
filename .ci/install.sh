#!/usr/bin/env bash
# Installs what this machine lacks of: postgres (server binaries, no cluster), compiler (for go test -race), curl, python
# and node (for the samples of the API reference and the examples in TypeScript), grpc (for plugins in Python), browser
# (for the page of the document), pooler (for the server behind one).
# Where it may not, it prints the one line that has to be run.
set -euo pipefail

say() { printf '%s\n' "$*" >&2; }

# Postgres 15 or newer, where core/postgres looks for it.
has_postgres() {
  local dir version
  for dir in "$(dirname "$(readlink -f "$(command -v postgres || echo /nowhere/postgres)")")" \
    /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /usr/libexec/postgresql* \
    /opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin /home/linuxbrew/.linuxbrew/opt/postgresql*/bin \
    /Applications/Postgres.app/Contents/Versions/*/bin; do
    [ -x "$dir/postgres" ] && [ -x "$dir/initdb" ] || continue
    version=$("$dir/postgres" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
    [ "${version:-0}" -ge 15 ] && return 0
  done
  return 1
}

has_compiler() { command -v gcc >/dev/null || command -v clang >/dev/null; }
has_curl() { command -v curl >/dev/null; }
has_python() { command -v python3 >/dev/null && python3 -c 'import requests' 2>/dev/null; }
# For the plugin in Python. It is the system's, which plugins may read.
has_grpc() {
  local python
  for python in /usr/bin/python3 python3; do "$python" -c 'import grpc, google.protobuf' 2>/dev/null && return 0; done
  return 1
}
# Where it is not by apt, the test of the page finds none, and is left out.
has_browser() { [ "$(uname)" = Darwin ] || command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null; }
# A pooler is not asked for on a Mac, and its test is left out there.
has_pooler() { [ "$(uname)" = Darwin ] || command -v pgbouncer >/dev/null; }
has_node() { command -v node >/dev/null && command -v npm >/dev/null; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

can_become_root() {
  [ "$(id -u)" = 0 ] || { command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; }
}

updated=
apt_install() {
  if [ -z "$updated" ]; then
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q update >&2
    updated=yes
  fi
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qy -o Dpkg::Use-Pty=0 install --no-install-recommends "$@" >&2
}

# Debian makes and starts a cluster of its own with the server, unless it is told not to. It is told so while we
# install, and what is installed by somebody else later finds the system as it was.
postgres_from_apt() {
  local config=/etc/postgresql-common/createcluster.d/patchbay.conf package=postgresql
  apt_install postgresql-common
  if [ "$(apt-cache policy postgresql | sed -n 's/.*Candidate: \([0-9]*\).*/\1/p')" -lt 15 ]; then
    say "this release has an older Postgres; adding the repository of the Postgres project"
    apt_install ca-certificates
    as_root /usr/share/postgresql-common/pgdg/apt.postgresql.org.sh -y >&2
    package=postgresql-17
  fi
  as_root mkdir -p "$(dirname "$config")"
  echo "create_main_cluster = false" | as_root tee "$config" >/dev/null
  trap 'as_root rm -f "$config"' EXIT
  apt_install "$package"
  as_root rm -f "$config"
  trap - EXIT
}

install() { # what, line to run by hand, packages of apt, formula of Homebrew
  local what=$1 line=$2
  say "installing $what"
  if [ "$(uname)" = Darwin ]; then
    command -v brew >/dev/null || { say "Homebrew is missing (https://brew.sh); then run: $line"; return 1; }
    brew install "$4" >&2
  elif command -v apt-get >/dev/null && can_become_root; then
    if [ "$what" = postgres ]; then postgres_from_apt; else apt_install $3; fi
  else
    say "$what is missing, and this user can't install it. Run:"
    say "  $line"
    return 1
  fi
}

line_for_postgres() {
  if [ "$(uname)" = Darwin ]; then
    echo "brew install postgresql@17"
  else
    echo "sudo sh -c 'apt-get update && apt-get install -y postgresql-common && mkdir -p /etc/postgresql-common/createcluster.d && echo create_main_cluster=false >/etc/postgresql-common/createcluster.d/patchbay.conf && apt-get install -y --no-install-recommends postgresql'"
  fi
}

for what in "$@"; do
  "has_$what" && continue
  case "$what" in
    postgres) install postgres "$(line_for_postgres)" "" postgresql@17 ;;
    compiler) install compiler "sudo apt-get install -y gcc libc6-dev" "gcc libc6-dev" llvm ;;
    python) install python "sudo apt-get install -y python3 python3-requests" "python3 python3-requests" python-requests ;;
    grpc) install grpc "sudo apt-get install -y python3-grpcio python3-protobuf" "python3-grpcio python3-protobuf" grpc ;;
    browser) install browser "sudo apt-get install -y chromium" chromium chromium ;;
    node) install node "sudo apt-get install -y nodejs npm" "nodejs npm" node ;;
    pooler) install pooler "sudo apt-get install -y pgbouncer" pgbouncer pgbouncer ;;
    curl) install curl "sudo apt-get install -y curl ca-certificates" "curl ca-certificates" curl ;;
    *) say "unknown: $what"; exit 2 ;;
  esac
  "has_$what" || { say "$what was installed and is not found"; exit 1; }
done
