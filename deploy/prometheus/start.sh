#!/bin/sh
# Start Prometheus over the rules, each with a full link to its runbook.
#
#   RUNBOOK_BASE_URL      where the repository's files can be read; the rules name files below it.
#                         Without it an alert shows its runbook's path in the repository.
#   SYNTHETIC_SCHOOLS     included: the rules count synthetic schools too, so that a drill fires its alert
#
#   start.sh --print          writes the rules to the standard output and starts nothing
#   start.sh --write FOLDER   writes the rules to FOLDER and starts nothing
set -eu

here=$(dirname "$0")
base=${RUNBOOK_BASE_URL:-}

case $base in
  "") echo "start.sh: RUNBOOK_BASE_URL is not set; alerts name their runbook by its path" >&2 ;;
  http://* | https://* | file://*) ;;
  *) echo "start.sh: RUNBOOK_BASE_URL must begin with http://, https:// or file://" >&2; exit 1 ;;
esac
case $base in
  *[\|\&\"\'\ ]* | *\\*)
    echo "start.sh: RUNBOOK_BASE_URL holds a character that no address has unescaped" >&2; exit 1 ;;
esac

synthetic=
case ${SYNTHETIC_SCHOOLS:-excluded} in
  excluded) ;;
  included) synthetic='s/{school_synthetic!="true"}//g; s/school_synthetic!="true", //g' ;;
  *) echo "start.sh: SYNTHETIC_SCHOOLS must be included or excluded" >&2; exit 1 ;;
esac

rules() {
  sed -e "s|runbook_url: docs/|runbook_url: ${base:+${base%/}/}docs/|" -e "$synthetic" "$@"
}

write() {
  mkdir -p "$1"
  for file in "$here"/rules/*.yml; do
    rules "$file" >"$1/${file##*/}"
  done
}

case ${1:-} in
  --print) rules "$here"/rules/*.yml ;;
  --write) write "$2" ;;
  *)
    # The image's file system is read-only but for /tmp.
    mkdir -p /tmp/prometheus
    write /tmp/prometheus/rules
    cp "$here/prometheus.yml" /tmp/prometheus/prometheus.yml
    exec /bin/prometheus --config.file=/tmp/prometheus/prometheus.yml "$@"
    ;;
esac
