// What is printed reads back equal, for the built-in profiles and for random ones; broken files end in one line.

import PerseusPrimitives
import Testing

@testable import PerseusRunners

/// A profile in which every parameter was drawn, and sources as people might write them.
private func randomDocument(_ random: inout SeededRandom) -> ProfileDocument {
    var document = ProfileDocument.builtIn[0]
    document.profile.name = "random-\(random.next(below: 1000))"
    document.profile.summary = ["a = b; c", "[nic]", "ÅÄÖ 測定"][random.next(below: 3)]
    let sources = ["", "sheet: 5; # 7", "guess", "no source given", "50 Mb/s à peu près"]
    for parameter in ProfileParameter.all {
        parameter.set(randomValue(parameter.quantity, &random), in: &document.profile)
        document.setSource(sources[random.next(below: sources.count)], of: parameter)
    }
    return document
}

private func randomValue(
    _ quantity: ProfileQuantity, _ random: inout SeededRandom
) -> ProfileValue {
    switch quantity {
    case .onOff: return .isOn(random.chance(0.5))
    case .name(let names): return .name(names[random.next(below: names.count)])
    case .number(let dimension, let range):
        // Small numbers as often as large ones, and round ones too.
        var value = range.upperBound
        for _ in 0..<random.next(below: 40) { value *= random.nextUnit() + 0.1 }
        if dimension.isWhole { value.round() }
        if random.chance(0.3) { value = (value / 1000).rounded() * 1000 }
        return .number(min(max(value, range.lowerBound), range.upperBound))
    }
}

/// The message with which `bytes` are refused; nil when they are a profile.
private func refusal(_ bytes: [UInt8]) -> PerseusError? {
    do {
        _ = try ProfileDocument(parsing: bytes, file: "f")
        return nil
    } catch { return error }
}

@Suite struct ProfileRoundTripTests {
    private func replay(_ test: String, _ seed: Int) -> Comment {
        "replay: swift test --filter \(test) (seed \(seed) of its arguments)"
    }

    @Test(arguments: ProfileDocument.builtIn)
    func aBuiltInProfileReadsBackEqual(_ document: ProfileDocument) throws {
        let again = try ProfileDocument(parsing: Array(document.text.utf8), file: "f")
        #expect(again == document)
        #expect(again.text == document.text)
    }

    @Test(arguments: 1...200)
    func aRandomProfileReadsBackEqual(seed: Int) throws {
        var random = SeededRandom(seed: UInt64(seed), stream: 0x9F0F)
        let document = randomDocument(&random)
        let again = try ProfileDocument(parsing: Array(document.text.utf8), file: "f")
        #expect(again == document, replay("aRandomProfileReadsBackEqual", seed))
        #expect(again.text == document.text, replay("aRandomProfileReadsBackEqual", seed))
    }

    @Test(arguments: 1...50)
    func aFileWithABaseChangesWhatItNames(seed: Int) throws {
        var random = SeededRandom(seed: UInt64(seed), stream: 0xBA5E)
        let base = Profile.builtIn[random.next(below: Profile.builtIn.count)]
        var expected = base
        expected.name = "mine"
        expected.summary = "based on \(base.name)"
        var text = "\u{FEFF}name=mine\r\nbased-on\t=  \(base.name) # for the rest\r\n"
        for parameter in ProfileParameter.all.reversed() where random.chance(0.2) {
            parameter.set(randomValue(parameter.quantity, &random), in: &expected)
            text += "[\(parameter.section.rawValue)]\r\n"
            text += "\t\(parameter.name)=\(parameter.text(in: expected))\r\n"
        }
        let document = try ProfileDocument(parsing: Array(text.utf8), file: "f")
        #expect(document.profile == expected, replay("aFileWithABaseChangesWhatItNames", seed))
    }

    @Test(arguments: 1...300)
    func aDamagedFileEndsInOneLine(seed: Int) {
        var random = SeededRandom(seed: UInt64(seed), stream: 0xDA3A)
        var bytes = Array(ProfileDocument.builtIn[0].text.utf8)
        for _ in 0...random.next(below: 6) {
            let place = random.next(below: bytes.count)
            switch random.next(below: 4) {
            case 0: bytes[place] = UInt8(truncatingIfNeeded: random.next())
            case 1: bytes.remove(at: place)
            case 2: bytes.insert(Array("=#[]\n 9e.-".utf8)[random.next(below: 10)], at: place)
            default: bytes.removeSubrange(place..<min(bytes.count, place + 200))
            }
            if bytes.isEmpty { break }
        }
        guard let error = refusal(bytes) else { return }
        #expect(error.kind == .badInput && error.message.hasPrefix("f:"))
        #expect(
            !error.message.contains("\n") && error.message.count < 700,
            replay("aDamagedFileEndsInOneLine", seed))
    }

    @Test func sourcesFollowTheirValues() throws {
        let text = """
            name = mine
            based-on = ideal
            [nic]
            latency = 1 us  # measured; with a ping
            jitter = 5 ns
            """
        let document = try ProfileDocument(parsing: Array(text.utf8), file: "f")
        func source(_ key: String) -> String? {
            ProfileParameter.named(key).map(document.source)
        }
        #expect(source("nic.latency") == "measured; with a ping")
        #expect(source("nic.jitter") == "no source given")
        #expect(source("nic.bandwidth") == "as ideal: sheet: 400 Gb/s")
    }
}
