// Every way in which a command line can be wrong gives one line that says what to type instead.

import PerseusPrimitives
import Testing

@testable import PerseusCommandLine

/// The message with which `words` are refused, or "accepted".
private func refusal(_ words: String...) -> String {
    do {
        _ = try Invocation.parse(words)
        return "accepted"
    } catch {
        #expect(error.kind == .badInput)
        #expect(!error.message.contains("\n"))
        return error.message
    }
}

@Suite struct ArgumentTests {
    @Test func unknownNamesSuggestTheNearest() {
        #expect(
            refusal("run", "--scheem", "all")
                == "perseus run: unknown option --scheem; did you mean --scheme?")
        #expect(refusal("rnu") == "perseus: unknown command rnu; did you mean run?")
        #expect(
            refusal("bench", "rign") == "perseus bench: unknown command rign; did you mean ring?")
        #expect(
            refusal("run", "--scheme", "coupled,persus")
                == "perseus run: --scheme coupled,persus: unknown scheme persus; did you mean "
                + "perseus?")
        #expect(
            refusal("run", "--model", "deepseek")
                == "perseus run: --model deepseek: unknown model deepseek; "
                + "did you mean deepseek-v3?")
        #expect(
            refusal("--verison") == "perseus: unknown option --verison; did you mean --version?")
    }

    @Test func unknownNamesWithoutANeighbourListWhatIsKnown() {
        #expect(
            refusal("run", "--clock", "sundial")
                == "perseus run: --clock sundial: unknown clock sundial; known are virtual, real")
        #expect(
            refusal("run", "--elephants")
                == "perseus run: unknown option --elephants; see perseus run --help")
        #expect(
            refusal("dance")
                == "perseus: unknown command dance; known are run, bench, simulate, kernels, litmus, doctor"
        )
    }

    @Test func valuesMustBePresentOnceAndOnlyWhereTheyBelong() {
        #expect(
            refusal("run", "--ranks") == "perseus run: --ranks needs a value: --ranks N")
        #expect(
            refusal("run", "--json", "--trace", "t")
                == "perseus run: --json needs a value: --json FILE")
        #expect(refusal("run", "--json=") == "perseus run: --json needs a value: --json FILE")
        #expect(refusal("run", "--seed", "1", "--seed=2") == "perseus run: --seed is given twice")
        #expect(refusal("run", "--unproven=yes") == "perseus run: --unproven takes no value")
        #expect(
            refusal("doctor", "now")
                == "perseus doctor: unexpected argument now; every option starts with --, "
                + "see perseus doctor --help")
    }

    @Test func helpAndVersionAreAnsweredAtEveryLevel() throws {
        #expect(try Invocation.parse(["--version"]) == .version)
        for words in [
            [], ["-h"], ["run", "--help"], ["bench"], ["bench", "ring", "-h"],
            ["simulate", "--help"],
            ["run", "--ranks", "0", "--help"],
        ] {
            guard case .help(let text) = try Invocation.parse(words) else {
                Issue.record("\(words) is not answered with help")
                continue
            }
            #expect(text.contains("Usage: perseus"))
        }
    }
}

@Suite struct ValueFormatTests {
    /// The value that `text` reads as, or nil when it is refused.
    private func read<Value>(_ format: ValueFormat<Value>, _ text: String) -> Value? {
        try? format.read(text)
    }

    @Test func sizesUsePowersOf1024() {
        let expected: [(String, Int?)] = [
            ("64", 64), ("4K", 4096), ("1M", 1 << 20), ("2GiB", 2 << 30), ("3kib", 3072),
            ("1T", 1 << 40), ("0", nil), ("K", nil), ("4KB", nil), ("-4K", nil), ("4.5K", nil),
            ("9223372036854775807T", nil), ("99999999999999999999", nil), ("", nil),
        ]
        for (text, bytes) in expected { #expect(read(.size(), text) == bytes, "\(text)") }
    }

    @Test func seedsAreDecimalOrHexadecimal() {
        let expected: [(String, UInt64?)] = [
            ("0", 0), ("7", 7), ("0x9f3c", 0x9F3C), ("18446744073709551615", .max),
            ("18446744073709551616", nil), ("-1", nil), ("+1", nil), ("0x", nil), ("x", nil),
            ("0x-1", nil),
        ]
        for (text, seed) in expected { #expect(read(.seed, text) == seed, "\(text)") }
    }

    @Test func integersAreRefusedWithTheirRange() {
        #expect(read(.integer(in: 1...8), "8") == 8)
        for (text, reason) in [
            ("0", "must be 1 to 8"), ("9", "must be 1 to 8"), ("-3", "must be 1 to 8"),
            ("99999999999999999999", "must be 1 to 8"), ("two", "two is not a whole number"),
            ("1.5", "1.5 is not a whole number"), ("", "a number is missing"),
        ] {
            #expect(throws: ValueRefusal(reason)) { try ValueFormat.integer(in: 1...8).read(text) }
        }
    }

    @Test func namesAndListsRefuseRepeatsAndGaps() {
        let format = ValueFormat.names(noun: "color", of: ["red", "green"])
        #expect(read(format, "all") == ["red", "green"])
        #expect(read(format, "green,red") == ["green", "red"])
        for text in ["red,red", "red,", ",", "all,red", "blue"] {
            #expect(read(format, text) == nil)
        }
        #expect(read(.files, "a,b") == ["a", "b"])
        #expect(read(.files, "a,,b") == nil)
        #expect(read(.integers("N", in: 0...9), "0,3,9") == [0, 3, 9])
        #expect(read(.integers("N", in: 0...9), "0,,9") == nil)
    }

    @Test func numbersAreFiniteAndBounded() {
        #expect(read(.number("X", .atLeastZero), "0") == 0)
        #expect(read(.number("X", .aboveZero), "1.25") == 1.25)
        for text in ["0", "-1", "nan", "inf", "x"] {
            #expect(read(.number("X", .aboveZero), text) == nil, "\(text)")
        }
    }
}
