#!/usr/bin/env bash
# Generates all generated code: the plugin protocol, the journal's rows, the REST API.
set -euo pipefail
cd "$(dirname "$0")/.."
.ci/tools.sh protoc-gen-go protoc-gen-go-grpc buf oapi-codegen
export PATH="$PWD/bin/tools:$PATH"
(cd sdk && buf generate)
(cd core/execution/journal && buf generate)
oapi-codegen -config api/oapi-codegen.yaml api/openapi.yaml
