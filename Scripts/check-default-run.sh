#!/usr/bin/env bash
# Checks what the default `perseus run` promises beyond its output: 30 s, 6 GB, the same JSON on every run; and that
# 64 ranks with modelled compute take at most 10 s.
#
# Usage: Scripts/check-default-run.sh [BINARY]
set -euo pipefail
binary=${1:-.build/release/perseus}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# Runs a command, then prints its wall seconds and its peak memory in KiB.
measure() {
    python3 - "$@" <<'PYTHON'
import resource, subprocess, sys, time
begin = time.monotonic()
status = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(f"{time.monotonic() - begin:.1f} {peak}")
sys.exit(status)
PYTHON
}

# Fails when a measured value is above its limit.
within() {
    awk -v value="$2" -v limit="$3" -v name="$1" -v unit="$4" 'BEGIN {
        printf "%-28s %10.1f %s (limit %s)\n", name, value, unit, limit
        exit !(value <= limit)
    }'
}

read -r seconds kilobytes < <(measure "$binary" run --json "$folder/first.json")
within "default run" "$seconds" 30 "s"
within "default run, peak memory" "$((kilobytes / 1024))" 6144 "MiB"
"$binary" run --json "$folder/second.json" >/dev/null
cmp "$folder/first.json" "$folder/second.json"
echo "same seed, same JSON           identical"
read -r seconds _ < <(measure "$binary" run --ranks 64 --compute modelled)
within "64 ranks, modelled compute" "$seconds" 10 "s"
