// Sixty-four bits that differ where two profiles have different values, whatever they are called.

extension Profile {
    /// FNV-1a over every parameter as a file has it, 16 hexadecimal digits. Name and summary do not count.
    public var fingerprint: String {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for parameter in ProfileParameter.all {
            for byte in "\(parameter.key)=\(parameter.text(in: self))\n".utf8 {
                hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3
            }
        }
        let digits = String(hash, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
