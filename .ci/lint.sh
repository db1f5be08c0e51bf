#!/usr/bin/env bash
# Formatting, vet, linters and the rules of imports, over both modules; and that the API breaks nobody.
set -euo pipefail
cd "$(dirname "$0")/.."
go=${GO:-go}
.ci/tools.sh golangci-lint

unformatted=$(git ls-files -z '*.go' | grep -zvE '\.(pb|gen)\.go$' | xargs -0 gofmt -l)
if [ -n "$unformatted" ]; then
  printf 'not formatted (gofmt -w):\n%s\n' "$unformatted" >&2
  exit 1
fi
for module in . sdk; do
  (cd "$module" && "$go" vet ./...)
  (cd "$module" && "$OLDPWD/bin/tools/golangci-lint" run --config "$OLDPWD/.golangci.yml" ./...)
done
"$go" test -run TestArchitecture ./core/server
.ci/breaking
