#!/usr/bin/env bash
# Builds bin/patchbay and, for each plugin named, bin/plugins/<name>/<name> with its manifest beside it. What runs from
# there meanwhile is not disturbed: files are replaced, never written into.
set -euo pipefail
cd "$(dirname "$0")/.."
go=${GO:-go}
export CGO_ENABLED=0
flags=(-trimpath -ldflags "-s -w")

mkdir -p bin
new=$(mktemp -d bin/.new.XXXXXX)
trap 'rm -rf "$new"' EXIT
mkdir -p bin/plugins "$new/plugins"

"$go" build "${flags[@]}" -o "$new/patchbay" .
mv -f "$new/patchbay" bin/patchbay
packages=()
for name in "$@"; do packages+=("./plugins/$name"); done
[ $# = 0 ] || "$go" build "${flags[@]}" -o "$new/plugins/" "${packages[@]}"
for name in "$@"; do
  mkdir -p "bin/plugins/$name"
  "$new/plugins/$name" manifest >"$new/plugin.json"
  mv -f "$new/plugins/$name" "bin/plugins/$name/$name"
  mv -f "$new/plugin.json" "bin/plugins/$name/plugin.json"
done
for old in bin/plugins/*/; do # of plugins that are gone
  name=$(basename "$old")
  case " $* " in *" $name "*) ;; *) rm -rf "$old" ;; esac
done
