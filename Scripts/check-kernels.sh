#!/usr/bin/env bash
# Compiles every device program with NVRTC, which needs no GPU; fails when one does not compile or spills more registers than
# is known of it.
#
# Usage: Scripts/check-kernels.sh [BINARY]
# PERSEUS_NVRTC names an installed NVRTC; without it one is installed into a folder that goes away.
set -euo pipefail
binary=${1:-.build/release/perseus}

if [[ -z "${PERSEUS_NVRTC:-}" ]]; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    python3 -m venv "$folder/venv"
    "$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'nvidia-cuda-nvrtc==13.0.*'
    library=$(find "$folder/venv" -name 'libnvrtc.so.13')
    [[ -n "$library" ]] || { echo "the wheel has no libnvrtc.so.13" >&2; exit 1; }
    export PERSEUS_NVRTC=$library
fi
"$binary" kernels compile
