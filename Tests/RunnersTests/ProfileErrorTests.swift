// Every way in which a profile's file can be wrong gives one line with file, line and what to write instead.

import PerseusPrimitives
import Testing

@testable import PerseusRunners

/// The message with which a file of these lines is refused, or "accepted".
private func refusal(_ lines: String...) -> String {
    refusal(Array(lines.joined(separator: "\n").utf8))
}

private func refusal(_ bytes: [UInt8]) -> String {
    do {
        _ = try ProfileDocument(parsing: bytes, file: "my.profile")
        return "accepted"
    } catch {
        #expect(error.kind == .badInput)
        return error.message
    }
}

/// The same for a line in `[nic]`, line 4, of a file that is fine without it.
private func refusal(inNIC line: String) -> String {
    refusal("name = mine", "based-on = ideal", "[nic]", line)
}

@Suite struct ProfileErrorTests {
    @Test func aBaseAndANameAreEnough() {
        #expect(refusal("# mine", "", "name = mine # ours", "based-on = ideal") == "accepted")
        #expect(refusal(inNIC: "latency = 3 us") == "accepted")
    }

    @Test func unknownKeysSuggestTheNearest() {
        #expect(
            refusal(inNIC: "latncy = 3 us")
                == "my.profile:4: unknown key latncy in [nic]; did you mean latency?")
        #expect(
            refusal(inNIC: "put = 3 us")
                == "my.profile:4: unknown key put in [nic]; it belongs below [proxy]")
        #expect(
            refusal("nmae = mine") == "my.profile:1: unknown key nmae; did you mean name?")
        #expect(
            refusal("author = me")
                == "my.profile:1: unknown key author; known are name, summary, based-on")
    }

    @Test func keysStandWhereTheyBelong() {
        #expect(
            refusal("name = mine", "latency = 3 us")
                == "my.profile:2: latency stands outside a section; it belongs below [nic]")
        #expect(
            refusal("[nic]", "name = mine")
                == "my.profile:2: name belongs above the first section")
    }

    @Test func sectionsAreKnown() {
        #expect(
            refusal("[nci]") == "my.profile:1: unknown section [nci]; did you mean nic?")
        #expect(
            refusal("[storage]")
                == "my.profile:1: unknown section [storage]; known are nic, proxy, gpu")
        #expect(refusal("[nic") == "my.profile:1: expected [section], found [nic")
    }

    @Test func unitsFitTheDimension() {
        #expect(
            refusal(inNIC: "latency = 3 GB/s")
                == "my.profile:4: nic.latency: GB/s is not a unit of a time; use ns, us or ms")
        #expect(
            refusal(inNIC: "latency = 3")
                == "my.profile:4: nic.latency: 3 has no unit: a time is given in ns, us or ms")
        #expect(
            refusal(inNIC: "bandwidth = 25")
                == "my.profile:4: nic.bandwidth: 25 has no unit: a rate of bytes is given in GB/s")
        #expect(
            refusal(inNIC: "packet-size = 4 us")
                == "my.profile:4: nic.packet-size: us is not a unit of a number of bytes;"
                + " use B, KB or MB")
        #expect(
            refusal(inNIC: "queue-depth = 64 B")
                == "my.profile:4: nic.queue-depth: a count has no unit, and B stands behind it")
    }

    @Test func numbersAreNumbersInRange() {
        #expect(
            refusal(inNIC: "latency = fast") == "my.profile:4: nic.latency: fast is not a number")
        #expect(
            refusal(inNIC: "latency = 1,250 ns")
                == "my.profile:4: nic.latency: 1,250 is not a number")
        #expect(
            refusal(inNIC: "latency = -3 us")
                == "my.profile:4: nic.latency: -3 us is out of range: 0 ns to 10000 ms")
        #expect(
            refusal(inNIC: "bandwidth = 0 GB/s")
                == "my.profile:4: nic.bandwidth: 0 GB/s is out of range: 0.001 GB/s to 100000 GB/s")
        #expect(
            refusal(inNIC: "queue-depth = 1")
                == "my.profile:4: nic.queue-depth: 1 is out of range: 2 to 65536")
        #expect(
            refusal(inNIC: "latency = 1.5 ns")
                == "my.profile:4: nic.latency: 1.5 ns is not a whole number of ns")
        #expect(
            refusal(inNIC: "queue-depth = 2.5")
                == "my.profile:4: nic.queue-depth: 2.5 is not a whole number")
    }

    @Test func switchesAndNamesAreTheKnownOnes() {
        #expect(
            refusal(inNIC: "honours-fence = yes")
                == "my.profile:4: nic.honours-fence: must be on or off, not yes")
        #expect(
            refusal(inNIC: "delivery = in-oder")
                == "my.profile:4: nic.delivery: unknown name in-oder; did you mean in-order?")
        #expect(
            refusal("name = a", "based-on = ideal", "[proxy]", "vanilla-ordering = none")
                .hasPrefix("my.profile:4: proxy.vanilla-ordering: unknown name none; known are "))
    }

    @Test func nothingStandsTwice() {
        #expect(
            refusal("name = a", "based-on = ideal", "[nic]", "jitter = 1 ns", "", "jitter = 1 ns")
                == "my.profile:6: nic.jitter stands twice, first on line 4")
        #expect(
            refusal("name = a", "name = a") == "my.profile:2: name stands twice, first on line 1")
    }

    @Test func linesAreKeysWithValues() {
        #expect(
            refusal(inNIC: "latency 3 us")
                == "my.profile:4: expected key = value or [section], found latency 3 us")
        #expect(refusal(inNIC: "latency =") == "my.profile:4: nic.latency has no value")
        #expect(refusal("name = # mine") == "my.profile:1: name has no value")
        #expect(
            refusal(String(repeating: "x", count: 201))
                == "my.profile:1: more than 200 characters before a comment")
    }

    @Test func aProfileHasAName() {
        #expect(refusal("based-on = ideal") == "my.profile: name is missing")
        #expect(refusal("") == "my.profile: name is missing")
        #expect(
            refusal("name = my cluster")
                == "my.profile:1: name my cluster: must be at most 64 letters, digits and - . _")
    }

    @Test func theBaseIsBuiltIn() {
        #expect(
            refusal("name = a", "based-on = h100")
                == "my.profile:2: based-on: unknown profile h100; did you mean h100-connectx7?")
    }

    @Test func withoutABaseNothingMayBeMissing() {
        #expect(
            refusal("name = a")
                == "my.profile: without based-on every parameter is needed; missing: nic.bandwidth,"
                + " nic.message, nic.latency, nic.jitter, nic.refill, nic.refill-size,"
                + " nic.packet-size, nic.reorder and \(ProfileParameter.all.count - 8) more")
        let lines = ProfileDocument.builtIn[0].text.split(separator: "\n")
            .filter { !$0.hasPrefix("latency =") && !$0.hasPrefix("stage =") }
        #expect(
            refusal(Array(lines.joined(separator: "\n").utf8))
                == "my.profile: without based-on every parameter is needed;"
                + " missing: nic.latency, gpu.stage")
    }

    @Test func onlyTextIsRead() {
        let line = Array("name = a\n".utf8)
        for bytes: [UInt8] in [[0xFF, 0xFE], [0xC3], [0], [0x1B], [0xED, 0xA0, 0x80], [13, 65]] {
            #expect(refusal(line + bytes) == "my.profile:2: this is not UTF-8 text")
        }
    }
}
