#!/usr/bin/env bash
# Proves on the release binary that hot functions call no allocator, no lock and no reference counting.
#
#   Scripts/check-hot-path.sh [BINARY]              symbols of Tests/HotPath/symbols.txt
#   Scripts/check-hot-path.sh --self-test [BINARY]  proves that a bad function is caught
#
# symbols.txt has one extended regular expression for each line, matched against demangled names;
# `#` starts a comment. PERSEUS_HOT_PATH_SYMBOLS names another list. Exit status: 0 clean, 1 a listed
# symbol is absent or makes a forbidden call, 3 a tool or the binary is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

self_test=false
if [[ "${1:-}" == "--self-test" ]]; then
    self_test=true
    shift
fi
binary="${1:-.build/release/perseus}"
symbols="${PERSEUS_HOT_PATH_SYMBOLS:-Tests/HotPath/symbols.txt}"
forbidden='swift_(retain|release|alloc|beginAccess|isUnique|once|dynamicCast|getWitnessTable|getGenericMetadata)'
forbidden+='|[^a-z](malloc|calloc|realloc|free|posix_memalign)[^a-z_]|pthread_mutex'

fail() {
    echo "check-hot-path: $1" >&2
    exit "$2"
}

[[ -f "$binary" ]] || fail "$binary does not exist; run: swift build -c release --product perseus" 3
disassembler="$(command -v objdump || command -v llvm-objdump || true)"
[[ -n "$disassembler" ]] || fail "neither objdump nor llvm-objdump is in PATH" 3
demangler="$(command -v swift-demangle || true)"
[[ -n "$demangler" ]] || fail "swift-demangle of the Swift toolchain is not in PATH" 3

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

# One pass over the binary: `function <tab> forbidden target`, and every function once with no target.
# A tail call is a jump to the start of another symbol; a jump inside the function carries `+0x`.
"$disassembler" -d --no-show-raw-insn "$binary" 2>/dev/null | awk -v forbidden="$forbidden" '
    /^[0-9a-f]+ <.*>:$/ {
        name = $2
        gsub(/^<|>:$/, "", name)
        print name "\t"
        next
    }
    /[ \t](call|callq|jmp|jmpq|bl|b)[ \t].*<.*>/ {
        target = $0
        sub(/^[^<]*</, "", target)
        sub(/>.*$/, "", target)
        # The blanks let the patterns see where a short name such as `free` starts and ends.
        if (target !~ /\+0x/ && (" " target " ") ~ forbidden) print name "\t" target
    }
' | sort -u > "$work/calls"
[[ -s "$work/calls" ]] || fail "$binary has no symbols to read" 3

# Demangle each function once, then put the readable name in front.
cut -f1 "$work/calls" | "$demangler" --compact > "$work/names"
paste "$work/names" "$work/calls" > "$work/functions"

# Prints one line for each pattern of the list "$1"; status 1 when a pattern fails.
check() {
    awk -F '\t' '
        FILENAME == ARGV[1] {
            if ($0 !~ /^[ \t]*(#|$)/) patterns[++count] = $0
            next
        }
        {
            for (i = 1; i <= count; i++) {
                if ($1 !~ patterns[i]) continue
                if ($3 == "") { matched[i]++ } else { calls[i] = calls[i] "\n        " $1 " calls " $3 }
            }
        }
        END {
            if (count == 0) { print "fail   the list of symbols is empty"; exit 1 }
            for (i = 1; i <= count; i++) {
                if (!matched[i]) { print "absent " patterns[i]; status = 1 }
                else if (calls[i] != "") { print "fail   " patterns[i] calls[i]; status = 1 }
                else { print "clean  " patterns[i] " (" matched[i] ")" }
            }
            exit status
        }
    ' "$1" "$work/functions"
}

# Takes a function that allocates from this binary and one that does not exist: both must be refused.
self_test() {
    local bad
    bad="$(awk -F '\t' '$3 ~ /swift_allocObject/ { print $1; exit }' "$work/functions")"
    [[ -n "$bad" ]] || fail "self-test: $binary has no function that allocates" 1
    # Escape the name, so that its brackets and dots stand for themselves.
    printf '^%s$\n' "$(sed 's/[][(){}.*+?^$|\\]/\\&/g' <<< "$bad")" > "$work/bad"
    echo 'no_such_function_in_any_binary' > "$work/absent"
    check "$work/bad" && fail "self-test: an allocation was not caught" 1
    check "$work/absent" && fail "self-test: an absent symbol was not caught" 1
    echo "check-hot-path: both bad lists were refused, as they must be"
}

if $self_test; then
    self_test
else
    [[ -f "$symbols" ]] || fail "$symbols does not exist" 3
    check "$symbols"
fi
