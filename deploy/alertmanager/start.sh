#!/bin/sh
# Start Alertmanager with the receivers that the environment names; without any it shows alerts and sends none.
#
#   ALERT_SLACK_URL_FILE       a file with the address of a Slack incoming web hook
#   ALERT_SLACK_CHANNEL        #ticketcap-alerts
#   ALERT_EMAIL_TO             gets pages and tickets by e-mail; needs ALERT_EMAIL_FROM and ALERT_SMTP (host:port)
#   ALERT_SMTP_USER, ALERT_SMTP_PASSWORD_FILE
#   ALERT_WEBHOOK_URL          gets everything, as Alertmanager's JSON
#
#   start.sh --print           writes the configuration to the standard output and starts nothing
set -eu

base=${ALERT_BASE_CONFIG:-$(dirname "$0")/alertmanager.yml}

fail() {
  echo "start.sh: $1" >&2
  exit 1
}

# Values go into single quotes in YAML. No channel, address or path contains a quote or a line break.
plain() {
  case $2 in
    *"'"* | *'
'*) fail "$1 holds a quote or a line break" ;;
  esac
  printf '%s' "$2"
}

slack_file=$(plain ALERT_SLACK_URL_FILE "${ALERT_SLACK_URL_FILE:-}")
slack_channel=$(plain ALERT_SLACK_CHANNEL "${ALERT_SLACK_CHANNEL:-}")
email_to=$(plain ALERT_EMAIL_TO "${ALERT_EMAIL_TO:-}")
email_from=$(plain ALERT_EMAIL_FROM "${ALERT_EMAIL_FROM:-}")
smtp=$(plain ALERT_SMTP "${ALERT_SMTP:-}")
smtp_user=$(plain ALERT_SMTP_USER "${ALERT_SMTP_USER:-}")
smtp_password_file=$(plain ALERT_SMTP_PASSWORD_FILE "${ALERT_SMTP_PASSWORD_FILE:-}")
webhook=$(plain ALERT_WEBHOOK_URL "${ALERT_WEBHOOK_URL:-}")

if [ -n "$email_to" ]; then
  [ -n "$email_from" ] || fail "ALERT_EMAIL_TO is set, ALERT_EMAIL_FROM is not"
  [ -n "$smtp" ] || fail "ALERT_EMAIL_TO is set, ALERT_SMTP is not"
fi
# A missing file stops the start, instead of failing the first alert.
for file in "$slack_file" "$smtp_password_file"; do
  [ -z "$file" ] || [ -r "$file" ] || fail "$file can't be read"
done

slack() {
  [ -n "$slack_file" ] || return 0
  cat <<YAML
    slack_configs:
      - api_url_file: '$slack_file'
        channel: '${slack_channel:-#ticketcap-alerts}'
        send_resolved: true
        title: '[{{ .Status | toUpper }}] {{ .CommonLabels.alertname }} ({{ .CommonLabels.severity }})'
        text: '{{ range .Alerts }}{{ .Annotations.summary }}: {{ .Annotations.description }} ({{ .Annotations.runbook_url }}){{ "\n" }}{{ end }}'
YAML
}

email() {
  [ -n "$email_to" ] || return 0
  cat <<YAML
    email_configs:
      - to: '$email_to'
        from: '$email_from'
        smarthost: '$smtp'
        send_resolved: true
YAML
  [ -z "$smtp_user" ] || echo "        auth_username: '$smtp_user'"
  [ -z "$smtp_password_file" ] || echo "        auth_password_file: '$smtp_password_file'"
}

hook() {
  [ -n "$webhook" ] || return 0
  cat <<YAML
    webhook_configs:
      - url: '$webhook'
        send_resolved: true
YAML
}

configuration() {
  sed '/^receivers:/,$d' "$base"
  echo "receivers:"
  for receiver in page ticket notice; do
    echo "  - name: $receiver"
    slack
    # Notices go to no mailbox.
    [ "$receiver" = notice ] || email
    hook
  done
}

if [ "${1:-}" = --print ]; then
  configuration
  exit
fi
configuration >/tmp/alertmanager.yml
exec /bin/alertmanager --config.file=/tmp/alertmanager.yml --storage.path=/alertmanager --cluster.listen-address= "$@"
