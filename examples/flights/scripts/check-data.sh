#!/bin/sh
# How big the data is, and whether the disk has room for as much again: a dry run works on a copy.
set -eu
cd "$(dirname "$0")/.."

bytes=0
for file in data/*.db; do
    [ -f "$file" ] || continue
    size=$(wc -c <"$file")
    printf '%-24s %15d bytes\n' "$file" "$size"
    bytes=$((bytes + size))
done
if [ "$bytes" -eq 0 ]; then
    echo "there is no database in data/: load one with python -m flights.load" >&2
    exit 1
fi

free=$(($(df -Pk . | awk 'NR == 2 { print $4 }') * 1024))
printf '%-24s %15d bytes\n' "free on this disk" "$free"
if [ "$free" -lt "$bytes" ]; then
    echo "not enough room for a copy" >&2
    exit 1
fi
