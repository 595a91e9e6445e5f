#!/usr/bin/env bash
# Proves the layer right on a GPU: fixtures, schemes, jitter, rounds, a removed ordering, compute-sanitizer.
#
# Usage: Scripts/check-device.sh BINARY [FIXTURES]
# BINARY is a perseus built with --static-swift-stdlib where the machine has no Swift; FIXTURES holds
# MODEL.{config.json,weights.safetensors,io.safetensors} (default: Tests/Fixtures/moe-layers). Takes about a minute.
set -euo pipefail
binary=$1
fixtures=${2:-Tests/Fixtures/moe-layers}
failures=0

# expect STATUS ARGUMENTS...: one run, a line about it, and what it said when it ended otherwise.
expect() {
    local expected=$1 status=0 output
    shift
    output=$(timeout -k 5 120 "$binary" run --device cuda --deadline 5000 "$@" 2>&1) || status=$?
    if [[ $status == "$expected" ]]; then
        echo "exit $status: ${*//$fixtures\//}"
    else
        echo "expected exit $expected, got $status: $*" >&2
        echo "$output" >&2
        failures=$((failures + 1))
    fi
}

fixture() { echo "--config $fixtures/$1.config.json --weights $fixtures/$1.weights.safetensors --input $fixtures/$1.io.safetensors"; }

for model in qwen3 gpt_oss llama4 deepseek_v3; do
    for ranks in 1 2 4 8; do
        for profile in perlmutter-slingshot11 h100-connectx7; do
            expect 0 $(fixture $model) --ranks $ranks --profile $profile
        done
    done
    expect 0 $(fixture $model) --ranks 4 --ranks-per-node 2
    expect 0 $(fixture $model) --ranks 4 --scheme perseus-plus --repeats 100
done
expect 0 $(fixture qwen3) --ranks 4 --scheme perseus-plus --layers 100
expect 0 $(fixture qwen3) --ranks 4 --heap-limit 200K
expect 0 $(fixture qwen3) --ranks 4 --scheme perseus --group-size 3 --repeats 5
# Without its ordering a layer goes wrong, and that is seen.
expect 1 $(fixture qwen3) --ranks 4 --scheme perseus-plus --profile roce-adaptive --ordering none --unproven --repeats 20
# A dead rank is reported and ends the run.
expect 4 $(fixture qwen3) --ranks 4 --scheme perseus --faults kill=3@50us
expect 0 --model qwen3-30b --tokens 1024 --ranks 8

if command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck; do
        echo "compute-sanitizer --tool $tool"
        timeout -k 5 300 compute-sanitizer --tool $tool --error-exitcode 9 "$binary" run --device cuda \
            $(fixture qwen3) --ranks 2 --scheme perseus-plus --deadline 120000 >/dev/null || {
            echo "compute-sanitizer --tool $tool: exit $?" >&2
            failures=$((failures + 1))
        }
    done
fi
[[ $failures == 0 ]] && echo "all right" || exit 1
