#!/usr/bin/env bash
# Installs the pinned development tools into bin/tools, once each.
set -euo pipefail
cd "$(dirname "$0")/.."
export GOBIN="$PWD/bin/tools" GOFLAGS=-mod=mod
mkdir -p "$GOBIN"

need() { # name, module path with version
  local stamp="$GOBIN/.$1-${2##*@}"
  [ -x "$GOBIN/$1" ] && [ -e "$stamp" ] && return
  echo "installing $1 (${2##*@})"
  (cd /tmp && go install "$2")
  touch "$stamp"
}

for tool in "$@"; do
  case "$tool" in
    protoc-gen-go) need protoc-gen-go google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12 ;;
    protoc-gen-go-grpc) need protoc-gen-go-grpc google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2 ;;
    oapi-codegen) need oapi-codegen github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2 ;;
    oasdiff) need oasdiff github.com/oasdiff/oasdiff@v1.37.0 ;;
    golangci-lint) need golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0 ;;
    *) echo "unknown tool $tool" >&2; exit 2 ;;
  esac
done
