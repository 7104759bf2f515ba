#!/bin/sh
# Imports the reports of a folder one by one. Imported reports are moved to the subfolder `done`;
# reports with errors stay, and the exit status is 1. CONFIG names the configuration file.
set -eu

folder=$1
elecdata=$(dirname "$0")/../bin/elecdata
mkdir -p "$folder/done"
status=0
for report in "$folder"/*.csv "$folder"/*.csv.gz; do
    case $report in
        *'*'* | *.rejected.csv) continue ;;
    esac
    if "$elecdata" load ${CONFIG:+--config "$CONFIG"} "$report"; then
        mv "$report" "$folder/done/"
    else
        status=1
    fi
done
exit $status
