#!/usr/bin/env bash
# Build the collector and Jaeger of docker-compose.yml from their Go modules, for a machine that can pull no images.
#
#   deploy/programs/build.sh      needs Go; seven minutes on two cores, nothing when they are there
#
# Written are .build/programs/otelcol-VERSION and .build/programs/jaeger-VERSION. Jaeger comes without its web pages,
# which are no Go module; its HTTP API is whole.
set -euo pipefail
cd "$(dirname "$0")/../.."
programs=$PWD/.build/programs
export CGO_ENABLED=0

version_of() { sed -n "s#^ *image: $1:\(.*\)#\1#p" docker-compose.yml; }

# What Jaeger 2 is called as a Go module.
declare -A jaeger_modules=([2.13.0]=v1.76.0)

build_collector() {
  local version=$1 builder=go.opentelemetry.io/collector/cmd/builder parts
  grep -q "^  version: $version\$" deploy/programs/collector.yaml || {
    echo "deploy/programs/collector.yaml is not of $version, as docker-compose.yml is" >&2; exit 1; }
  go run "$builder@v$version" --config deploy/programs/collector.yaml --skip-compilation --skip-get-modules
  mapfile -t parts < <(sed -n 's/^ *- gomod: \([^ ]*\) \(.*\)/\1@\2/p' deploy/programs/collector.yaml)
  (cd "$programs/otelcol" && rm -f go.mod go.sum && go mod init ticketcap.local/otelcol \
    && go get "go.opentelemetry.io/collector/otelcol@v$version" "${parts[@]}" \
    && go build -mod=mod -trimpath -o "$programs/otelcol-$version" .)
}

build_jaeger() {
  local version=$1 package=github.com/jaegertracing/jaeger/cmd/jaeger
  local module=${jaeger_modules[$version]:?which Go module is Jaeger $version? Add it to build.sh}
  rm -rf "$programs/jaeger" && mkdir -p "$programs/jaeger"
  (cd "$programs/jaeger" && go mod init ticketcap.local/jaeger && go get -tool "$package@$module" \
    && go build -trimpath -o "$programs/jaeger-$version" "$package")
}

build() {
  local name=$1 version=$2
  [[ -x $programs/$name-$version ]] && return
  command -v go >/dev/null || { echo "go is missing: it builds the collector and Jaeger" >&2; exit 1; }
  mkdir -p "$programs"
  echo "building $name $version"
  "build_$3" "$version" >"$programs/$name.log" 2>&1 || { tail -20 "$programs/$name.log" >&2; exit 1; }
}

build otelcol "$(version_of otel/opentelemetry-collector-contrib)" collector
build jaeger "$(version_of jaegertracing/jaeger)" jaeger
