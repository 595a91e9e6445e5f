// What all ranks must have in common, by name: version, build, shape, configuration.

import PerseusPrimitives

/// Named values, compared one by one when a rank joins.
public struct Agreement: Equatable, Sendable {
    public struct Item: Equatable, Sendable {
        public var name: String
        public var value: String

        public init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    public var items: [Item]

    public init(_ items: [Item]) { self.items = items }

    /// What differs, as a sentence about `rank`; nil when nothing does.
    func difference(to other: Agreement, ofRank rank: Int) -> String? {
        for index in 0..<max(items.count, other.items.count) {
            guard index < items.count, index < other.items.count,
                items[index].name == other.items[index].name
            else { return "rank \(rank) knows other settings than rank 0: another build" }
            let (ours, theirs) = (items[index], other.items[index])
            if ours.value != theirs.value {
                return "rank \(rank) has \(ours.name) \(theirs.value), rank 0 has \(ours.value)"
            }
        }
        return nil
    }

    static let itemLimit = 256

    func write(to writer: inout ByteWriter) {
        writer.append(UInt16(items.count))
        for item in items {
            writer.append(item.name)
            writer.append(item.value)
        }
    }

    init?(from reader: inout ByteReader) {
        guard let count = reader.integer(UInt16.self), count <= Self.itemLimit else { return nil }
        var items: [Item] = []
        for _ in 0..<count {
            guard let name = reader.text(), let value = reader.text() else { return nil }
            items.append(Item(name, value))
        }
        self.items = items
    }
}
