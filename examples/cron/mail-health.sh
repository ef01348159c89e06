#!/bin/sh
# Send mail when something is wrong with mail servers, or cannot be found out. In a crontab:
#
#     17 6 * * *  MAILTO=postmaster  /usr/local/bin/mail-health.sh example.org
#
# Send it somewhere that does not depend on the servers that are checked.
set -u

report=$(mktemp) || exit 1
trap 'rm -f "$report"' EXIT

smtpprobe check "$@" >"$report" 2>&1
status=$?

if [ "$status" -ne 0 ]; then
    mail -s "Mail servers, status $status: $*" "${MAILTO:-root}" <"$report"
fi
exit "$status"
