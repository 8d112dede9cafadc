#!/usr/bin/env bash
# Bring docker-compose.yml up with a real engine, use it, and take it down again.
#
#   deploy/docker/exercise.sh                  with the engine and the images that are here or can be pulled
#   STAND_INS=1 deploy/docker/exercise.sh      builds small stand-ins for every upstream image first, from Debian
#                                              packages and Go modules (needs root, mmdebstrap, Go); starts an engine
#                                              when none runs
#
# A stand-in is not the upstream image. Those of the collector, Jaeger, Prometheus and Alertmanager hold the real
# programs, built from their Go modules, that of PostgreSQL Debian's; Loki's and Grafana's answer 200 and that is all:
# they prove the wiring.
set -euo pipefail
cd "$(dirname "$0")/../.."

scratch=$(mktemp -d)
mkdir "$scratch/context"
export COMPOSE_PROJECT_NAME=ticketcap-exercise
compose=$PWD/.venv/bin/docker-compose
engine=

finish() {
  status=$?
  if ((status)); then "$compose" ps -a || true; "$compose" logs --tail 30 || true; fi
  "$compose" down --volumes --timeout 20 >/dev/null 2>&1 || true
  if [[ -n $engine ]]; then
    kill "$engine" 2>/dev/null || true
    wait "$engine" 2>/dev/null || true
    umount "$scratch/exec/netns/"* 2>/dev/null || true
  fi
  rm -rf "$scratch"
  exit "$status"
}
trap finish EXIT

start_engine() {
  export DOCKER_HOST=unix://$scratch/docker.sock
  dockerd --data-root "${DOCKER_DATA:-$scratch/data}" --exec-root "$scratch/exec" --pidfile "$scratch/docker.pid" \
    -H "$DOCKER_HOST" --exec-opt native.cgroupdriver=cgroupfs --default-ulimit nofile=1024:1024 \
    --storage-driver overlay2 >"$scratch/dockerd.log" 2>&1 &
  engine=$!
  for _ in $(seq 60); do docker info >/dev/null 2>&1 && return; sleep 0.5; done
  echo "the engine did not start:" >&2
  tail -5 "$scratch/dockerd.log" >&2
  return 1
}

image_of() { sed -n "s#^ *image: \($1:.*\)#\1#p" docker-compose.yml | head -1; }

build_stand_ins() {
  local python
  python=$(sed -n 's/^FROM \([^ ]*\) AS build/\1/p' services/gateway/Dockerfile)
  if ! docker image inspect "$python" >/dev/null 2>&1; then
    mmdebstrap --quiet --variant=minbase --include=python3,python3-venv,ca-certificates,wget bookworm "$scratch/base.tar" \
      /etc/apt/sources.list.d/debian.sources
    tar --delete -f "$scratch/base.tar" ./etc/ssl/certs/ca-certificates.crt 2>/dev/null || true
    tar --append -h -f "$scratch/base.tar" -C / ./etc/ssl/certs/ca-certificates.crt
    docker import --change 'ENV PATH=/usr/local/bin:/usr/bin:/bin PIP_CERT=/etc/ssl/certs/ca-certificates.crt' \
      "$scratch/base.tar" "$python" >/dev/null
    docker build -q -t "$python" - <<DOCKERFILE >/dev/null
FROM $python
RUN ln -s python3 /usr/bin/python
DOCKERFILE
  fi
  # The machine's own package sources, so that the builds need no others.
  cp -r /etc/apt/sources.list.d "$scratch/context/sources"
  stand_in_postgres "$python" "$(image_of postgres)"
  deploy/programs/build.sh
  stand_in_program "$python" "$(image_of otel/opentelemetry-collector-contrib)" otelcol 10001
  stand_in_program "$python" "$(image_of jaegertracing/jaeger)" jaeger 10001
  stand_in_page "$python" "$(image_of grafana/loki)" 3100
  stand_in_program "$python" "$(image_of prom/alertmanager)" alertmanager 65534
  stand_in_program "$python" "$(image_of prom/prometheus)" prometheus 65534
  stand_in_page "$python" "$(image_of grafana/grafana)" 3000
}

stand_in_postgres() {
  docker image inspect "$2" >/dev/null 2>&1 && return
  cp deploy/docker/stand-in-postgres.sh "$scratch/context/entrypoint.sh"
  docker build -q --network host -t "$2" -f - "$scratch/context" <<DOCKERFILE >/dev/null
FROM $1
COPY sources /etc/apt/sources.list.d
RUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql-15
COPY entrypoint.sh /entrypoint.sh
ENV PATH=/usr/lib/postgresql/15/bin:\$PATH
ENTRYPOINT ["/bin/bash", "/entrypoint.sh"]
DOCKERFILE
}

# The program $3 that deploy/programs/build.sh has built, with a folder of its own, as the user $4 that upstream's has.
stand_in_program() {
  docker image inspect "$2" >/dev/null 2>&1 && return
  local version=${2#*:}
  cp ".build/programs/$3-${version#v}" "$scratch/context/program"
  docker build -q -t "$2" -f - "$scratch/context" <<DOCKERFILE >/dev/null
FROM $1
COPY program /bin/$3
RUN install -d -o $4 -g $4 /$3
USER $4:$4
ENTRYPOINT ["/bin/$3"]
DOCKERFILE
}

stand_in_page() {
  docker image inspect "$2" >/dev/null 2>&1 && return
  cp deploy/docker/stand_in_page.py "$scratch/context/page.py"
  docker build -q -t "$2" -f - "$scratch/context" <<DOCKERFILE >/dev/null
FROM $1
COPY page.py /page.py
ENV PORTS="${*:3}"
ENTRYPOINT ["python3", "/page.py"]
DOCKERFILE
}

if ! docker info >/dev/null 2>&1; then start_engine; fi
[[ -z ${STAND_INS:-} ]] || build_stand_ins 2> >(grep -v -e DEPRECATED -e buildx -e '^ *$' >&2)

echo "building"
build_arguments=()
for name in PIP_INDEX_URL PIP_TRUSTED_HOST http_proxy https_proxy; do
  [[ -n ${!name:-} ]] && build_arguments+=(--build-arg "$name=${!name}")
done
"$compose" build "${build_arguments[@]}" >"$scratch/build.log" 2>&1 || { tail -30 "$scratch/build.log"; exit 1; }

began=$(date +%s)
"$compose" up --detach --wait --wait-timeout 180 >"$scratch/up.log" 2>&1 || { tail -20 "$scratch/up.log"; exit 1; }
echo "ready after $(($(date +%s) - began)) s"
"$compose" ps --format 'table {{.Service}}\t{{.Status}}'

for service in registration payment gateway; do
  echo "$service runs as $("$compose" exec -T "$service" id -u), $(docker image inspect "ticketcap-$service:local" \
    --format '{{.Size}}' | numfmt --to=iec) image, $(docker stats --no-stream --format '{{.MemUsage}}' \
    "$("$compose" ps -q "$service")")"
  if "$compose" exec -T "$service" touch /app/x 2>/dev/null; then echo "its file system can be written to" >&2; exit 1; fi
done

.venv/bin/python deploy/docker/use_it.py
echo "exercise passed"
