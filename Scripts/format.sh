#!/usr/bin/env bash
# Fails when a file is not formatted as .swift-format says; `Scripts/format.sh --fix` formats it.
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ "${1:-}" == "--fix" ]]; then
    exec swift format -i -r Sources Tests Package.swift
fi
exec swift format lint --strict -r Sources Tests Package.swift
