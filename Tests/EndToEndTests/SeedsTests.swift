// `perseus simulate seeds` as a person starts it: the same text for every number of threads, and an end in time.

import Foundation
import Testing

@Suite struct SeedsTests {
    @Test func textAndJSONDoNotDependOnTheThreads() throws {
        var seen: [(text: String, json: Data)] = []
        for threads in ["1", "3"] {
            let folder = try Workplace()
            let ended = try folder.perseus([
                "simulate", "seeds", "--seed", "0x51", "--count", "12", "--threads", threads,
                "--json", "s.json",
            ])
            #expect(ended.status == 0)
            // What differs from run to run, the time, is not part of the result.
            #expect(ended.errorLines.count == 1)
            #expect(ended.errors.hasPrefix("12 seeds in "))
            seen.append((ended.text, try folder.data("s.json")))
        }
        #expect(seen[0].text.hasPrefix("12 passed, 0 failed; "))
        #expect(seen[0].text == seen[1].text)
        #expect(seen[0].json == seen[1].json)
    }

    @Test func theTimeLimitEndsTheSearch() throws {
        let folder = try Workplace()
        let ended = try folder.perseus(["simulate", "seeds", "--seconds", "0.5", "--json", "-"])
        #expect(ended.status == 0)
        #expect(0.5...20 ~= ended.seconds)
        let ran = Int(ended.errors.split(separator: " ")[0])
        #expect(ran ?? 0 >= 1, "\(ended.errors)")
        #expect(ended.text.contains("\"count\" : \(ran ?? 0)"))
    }

    @Test func oneSeedShowsItsScenario() throws {
        let folder = try Workplace()
        let ended = try folder.perseus(["simulate", "seeds", "--seed", "0x51", "--count", "1"])
        #expect(ended.status == 0)
        let lines = ended.text.split(separator: "\n")
        #expect(lines.count == 2)
        #expect(lines.first?.contains(" ranks (") == true)
        let quiet = try folder.perseus(["simulate", "seeds", "--count", "2", "--quiet"])
        #expect(quiet.status == 0 && quiet.text.isEmpty && quiet.errors.isEmpty)
    }
}
