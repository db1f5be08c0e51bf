#!/usr/bin/env bash
# Generates all generated code: the plugin protocol, the journal's rows, the REST API and its clients; and which plugin
# brings which block.
set -euo pipefail
cd "$(dirname "$0")/.."
.ci/tools.sh protoc-gen-go protoc-gen-go-grpc oapi-codegen
export PATH="$PWD/bin/tools:$PATH"
(cd .ci/protogen && "${GO:-go}" build -o ../../bin/tools/protogen .)
protogen sdk/proto plugin.proto -grpc -descriptor=examples/plugins/python/plugin.binpb
cp sdk/proto/plugin.proto examples/plugins/typescript/plugin.proto
protogen core/execution/journal journal.proto
oapi-codegen -config api/oapi-codegen.yaml api/openapi.yaml
"${GO:-go}" run ./.ci/knownblocks plugins/testdata/blocks-facts.json core/graph/known_blocks.txt
oapi-codegen -config api/client/oapi-codegen.yaml api/openapi.yaml
if command -v npm >/dev/null; then
  cd examples/typescript
  [ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --silent
  npm run --silent types >/dev/null
else
  echo "npm is missing: api/client/openapi.d.ts is left as it is" >&2
fi
