#!/usr/bin/env bash
# Runs ranks as processes with ThreadSanitizer and AddressSanitizer; fails when either says anything. Builds twice: some minutes.
#
# Usage: Scripts/check-sanitizers.sh [thread|address]...
set -euo pipefail
cd "$(dirname "$0")/.."

fixture=Tests/Fixtures/moe-layers/llama4
layer=(run --config "$fixture.config.json" --weights "$fixture.weights.safetensors"
    --input "$fixture.io.safetensors" --launch processes --deadline 60000)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# Exit status expected, then options.
check() {
    local expected=$1 status=0
    shift
    "$binary" "${layer[@]}" "$@" >/dev/null 2>"$folder/errors" || status=$?
    if [[ $status != "$expected" ]] || grep -q Sanitizer "$folder/errors"; then
        cat "$folder/errors" >&2
        echo "$sanitizer: exit $status, expected $expected: $*" >&2
        exit 1
    fi
    echo "$sanitizer: silent, exit $status: $*"
}

# What is still reachable at the end is no error.
export ASAN_OPTIONS=detect_leaks=0
[[ $# -gt 0 ]] || set -- thread address
for sanitizer in "$@"; do
    swift build --product perseus --sanitize="$sanitizer" --scratch-path ".build/$sanitizer"
    binary=.build/$sanitizer/debug/perseus
    check 0 --ranks 3
    check 0 --ranks 4 --ranks-per-node 2 --heap-limit 64K --clock real --threads 2 --proxy-threads 2
    check 4 --ranks 3 --clock real --threads 2 --scheme perseus --faults kill=1@1ms
    check 4 --ranks 3 --clock real --threads 2 --scheme perseus --faults kill=0@1ms
done
