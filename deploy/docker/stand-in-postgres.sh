#!/usr/bin/env bash
# Do the part of the upstream image's entrypoint that docker-compose.yml relies on.
set -euo pipefail
data=/var/lib/postgresql/data
mkdir -p "$data"
chown postgres "$data" /run/postgresql
as_postgres=(setpriv --reuid=postgres --regid=postgres --clear-groups)
if [[ ! -f $data/PG_VERSION ]]; then
  install -m 600 -o postgres /dev/null /tmp/password
  printf '%s' "$POSTGRES_PASSWORD" >/tmp/password
  "${as_postgres[@]}" initdb -D "$data" -U "$POSTGRES_USER" -A scram-sha-256 --locale=C.UTF-8 \
    --pwfile=/tmp/password >/dev/null
  rm /tmp/password
  echo 'host all all all scram-sha-256' >>"$data/pg_hba.conf"
  "${as_postgres[@]}" env PGPASSWORD="$POSTGRES_PASSWORD" bash -c "
    pg_ctl -D $data -w -o '-c listen_addresses= -c unix_socket_directories=/run/postgresql' start >/dev/null
    createdb -h /run/postgresql -U $POSTGRES_USER $POSTGRES_DB
    pg_ctl -D $data -w stop >/dev/null"
fi
exec "${as_postgres[@]}" postgres -D "$data" -c listen_addresses='*' -c unix_socket_directories=/run/postgresql
