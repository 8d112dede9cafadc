#!/usr/bin/env bash
# Build the backends of docker-compose.yml from their Go modules, for a machine that can pull no images.
#
#   deploy/programs/build.sh      needs Go; twelve minutes on two cores, nothing when they are there
#
# Written are .build/programs/NAME-VERSION, and .build/programs/bin with the names that Debian gives those that it has.
# Their web pages are no Go modules: Jaeger, Prometheus and Alertmanager come with their HTTP APIs alone.
set -euo pipefail
cd "$(dirname "$0")/../.."
programs=$PWD/.build/programs
export CGO_ENABLED=0

version_of() { sed -n "s#^ *image: $1:v\{0,1\}\(.*\)#\1#p" docker-compose.yml; }

# The Go module's version, where it differs from the release's.
declare -A modules=(
  [jaeger-2.13.0]=v1.76.0
  [prometheus-3.7.3]=v0.307.3 [promtool-3.7.3]=v0.307.3
  [alertmanager-0.28.1]=v0.28.1 [amtool-0.28.1]=v0.28.1
)

# The collector: the parts that our file uses, put together by its own builder.
compose_collector() {
  local version=$1 builder=go.opentelemetry.io/collector/cmd/builder parts
  grep -q "^  version: $version\$" deploy/programs/collector.yaml || {
    echo "deploy/programs/collector.yaml is not of $version, as docker-compose.yml is" >&2; return 1; }
  go run "$builder@v$version" --config deploy/programs/collector.yaml --skip-compilation --skip-get-modules
  mapfile -t parts < <(sed -n 's/^ *- gomod: \([^ ]*\) \(.*\)/\1@\2/p' deploy/programs/collector.yaml)
  (cd "$programs/otelcol" && rm -f go.mod go.sum && go mod init ticketcap.local/otelcol \
    && go get "go.opentelemetry.io/collector/otelcol@v$version" "${parts[@]}" \
    && go build -mod=mod -trimpath -o "$programs/otelcol-$version" .)
}

# Program $1 of version $2, which is the package $3.
fetch_program() {
  local module=${modules[$1-$2]:?which Go module is $1 $2? Add it to build.sh}
  mkdir -p "$programs/$1"
  (cd "$programs/$1" && rm -f go.mod go.sum && go mod init "ticketcap.local/$1" && go get -tool "$3@$module" \
    && go build -trimpath -o "$programs/$1-$2" "$3")
}

# Make program $1 of version $2 with the rest, unless it is there.
build() {
  local name=$1 version=$2
  shift 2
  [[ -x $programs/$name-$version ]] && return
  command -v go >/dev/null || { echo "go is missing: it builds $name" >&2; exit 1; }
  mkdir -p "$programs"
  echo "building $name $version"
  "$@" >"$programs/$name.log" 2>&1 || { tail -20 "$programs/$name.log" >&2; exit 1; }
}

collector=$(version_of otel/opentelemetry-collector-contrib)
build otelcol "$collector" compose_collector "$collector"
mkdir -p "$programs/bin"
while read -r image name package debian; do
  version=$(version_of "$image")
  build "$name" "$version" fetch_program "$name" "$version" "$package"
  [[ -z $debian ]] || ln -sf "../$name-$version" "$programs/bin/$debian"
done <<PROGRAMS
jaegertracing/jaeger jaeger github.com/jaegertracing/jaeger/cmd/jaeger
prom/prometheus prometheus github.com/prometheus/prometheus/cmd/prometheus prometheus
prom/prometheus promtool github.com/prometheus/prometheus/cmd/promtool promtool
prom/alertmanager alertmanager github.com/prometheus/alertmanager/cmd/alertmanager prometheus-alertmanager
prom/alertmanager amtool github.com/prometheus/alertmanager/cmd/amtool amtool
PROGRAMS
