import Testing

@testable import NauraServing

@Suite("The split")
struct SplitTests {
    @Test("the canary's share is the weight within half a point over 100,000 units", arguments: [0.05, 0.25, 0.5, 0.9])
    func share(_ weight: Double) {
        let split = Split(salt: "rollout-17", weight: weight)
        let canary = (0..<100_000).count { split.isCanary(split.place(of: "customer-\($0)")) }
        #expect(abs(Double(canary) / 100_000 - weight) < 0.005)
    }

    @Test("raising the weight keeps in whoever was in, and a new gateway sends everyone where the old one did")
    func sticky() {
        let five = Split(salt: "rollout-17", weight: 0.05)
        let again = Split(salt: "rollout-17", weight: 0.05)
        let more = Split(salt: "rollout-17", weight: 0.25)
        for number in 0..<20_000 {
            let unit = "customer-\(number)"
            let place = five.place(of: unit)
            #expect(again.place(of: unit) == place)
            if five.isCanary(place) { #expect(more.isCanary(more.place(of: unit))) }
        }
    }

    @Test("another salt sends other units to the canary")
    func salt() {
        let one = Split(salt: "a", weight: 0.5)
        let other = Split(salt: "b", weight: 0.5)
        let same = (0..<10_000).count {
            one.isCanary(one.place(of: "u\($0)")) == other.isCanary(other.place(of: "u\($0)"))
        }
        #expect(abs(same - 5_000) < 300)
    }

    @Test("nobody meets a canary of weight 0, everybody one of weight 1")
    func edges() {
        let none = Split(salt: "s", weight: 0)
        let all = Split(salt: "s", weight: 1)
        for value in [0, 1, UInt64.max] {
            #expect(!none.isCanary(.init(value: value)))
            #expect(all.isCanary(.init(value: value)))
        }
    }

    @Test("the bound is weight · 2^64 to the last bit")
    func exact() {
        let half = Split(salt: "s", weight: 0.5)
        #expect(half.isCanary(.init(value: (1 << 63) - 1)))
        #expect(!half.isCanary(.init(value: 1 << 63)))
        let least = Split(salt: "s", weight: 0x1p-64)
        #expect(least.isCanary(.init(value: 0)))
        #expect(!least.isCanary(.init(value: 1)))
    }

    @Test("a place is the first eight bytes of SHA-256 over salt and unit")
    func place() {
        // printf 'saltunit' | sha256sum
        let place = Split(salt: "salt", weight: 0.5).place(of: "unit")
        #expect(place.hex == "06a2380fecdbd214")
        #expect(place.value == 0x06a2_380f_ecdb_d214)
    }
}
