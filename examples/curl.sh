#!/bin/sh
# Two readings, daily energy of a week, and a month as a CSV file, with curl only.
set -eu

url=${API_URL:-http://127.0.0.1:5000}
user=${API_USER:-rick}
password=${API_PASSWORD:-morty}
meter=${API_METER:+&meter=$API_METER}

# Passed on standard input, so that the password is not visible in the process list.
token=$(printf 'user = "%s:%s"\n' "$user" "$password" | curl -fsS -K - -X POST "$url/login" |
    sed -n 's/.*"value_token": *"\([^"]*\)".*/\1/p')

ask() {
    printf 'header = "SESSION: %s"\n' "$token" | curl -fsS --compressed -K - "$@"
}

ask "$url/apielec/getDataById?id=5,100&columns=id,date,energy&format=ndjson$meter"
ask -G "$url/apielec/getAggregate" -d "interval=day$meter" -d columns=energy -d format=csv \
    -d date=2019-09-02 -d end_date=2019-09-09 -d end=exclusive
ask -o september.csv "$url/apielec/getDataByRange?date=2019-09&end_date=2019-10&end=exclusive&format=csv$meter"
ask -X POST -o /dev/null "$url/logout"
