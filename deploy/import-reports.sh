#!/bin/sh
# Imports the reports of a folder one by one. What was imported goes to its folder `done`; what was
# not stays, and the status is 1.
set -eu

folder=$1
mkdir -p "$folder/done"
status=0
for report in "$folder"/*.csv "$folder"/*.csv.gz; do
    case $report in
        *'*'* | *.rejected.csv) continue ;;
    esac
    if "${PYTHON:-python3}" -m loader ${CONFIG:+--config "$CONFIG"} "$report"; then
        mv "$report" "$folder/done/"
    else
        status=1
    fi
done
exit $status
