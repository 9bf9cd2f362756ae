import Foundation
import Testing

@testable import NauraRules

@Suite("Drift")
struct DriftTests {
    /// One cell of the cases' JSON: a number, a text, or nothing.
    enum Cell: Decodable {
        case missing
        case number(Double)
        case text(String)

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if container.decodeNil() {
                self = .missing
                return
            }
            do {
                self = .number(try container.decode(Double.self))
            } catch DecodingError.typeMismatch {
                self = .text(try container.decode(String.self))
            }
        }

        /// The number; the words for infinities and for not-a-number stand for them.
        var number: Double? {
            switch self {
            case .missing: nil
            case .number(let number): number
            case .text("inf"), .text("Infinity"): .infinity
            case .text("-inf"): -.infinity
            case .text: .nan
            }
        }
        var text: String? { if case .text(let text) = self { text } else { nil } }
    }

    struct Score: Decodable {
        let method: String?
        let score: Cell?
        let drifted: Bool?
        let statistic: Cell?
        let asymptotic: Double?

        private enum CodingKeys: String, CodingKey {
            case method, score, drifted, statistic
            case asymptotic = "p_asymptotic"
        }
    }

    struct Expected: Decodable {
        let cleaned: [Int]
        let distinct: Int
        let `default`: Score
        let methods: [String: Score]
    }

    struct Case: Decodable {
        let id: String
        let type: String
        let integer: Bool
        let reference: [Cell]
        let current: [Cell]
        let expected: Expected

        func column() throws -> DriftColumn {
            if type == "num" {
                return try DriftColumn(
                    reference: reference.compactMap(\.number), current: current.compactMap(\.number), isInteger: integer
                )
            }
            return try DriftColumn(reference: reference.compactMap(\.text), current: current.compactMap(\.text))
        }
    }

    struct Cases: Decodable { let cases: [Case] }

    static func cases() throws -> [Case] {
        let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Fixtures/drift-cases.json")
        return try JSONDecoder().decode(Cases.self, from: Data(contentsOf: file)).cases
    }

    private func agree(_ found: Double, _ expected: Double) -> Bool {
        if expected.isNaN { return found.isNaN }
        if expected == found { return true }
        if abs(expected) < 1e-12 { return abs(found - expected) <= 1e-12 }
        return abs(found - expected) <= max(1e-9, 1e-9 * abs(expected))
    }

    @Test("every score of the worked columns comes out to full precision, with its verdict and its default test")
    func worked() throws {
        var compared = 0
        for worked in try Self.cases() {
            let column = try worked.column()
            #expect([column.referenceCount, column.currentCount] == worked.expected.cleaned, "\(worked.id)")
            #expect(column.distinct == worked.expected.distinct, "\(worked.id)")
            #expect(column.defaultTest.rawValue == worked.expected.default.method, "\(worked.id)")
            for (name, expected) in worked.expected.methods {
                guard let test = DriftTest(rawValue: name), let score = expected.score?.number else { continue }
                let found = try column.score(test)
                #expect(agree(found, score), "\(worked.id) \(name): \(found) instead of \(score)")
                #expect(test.isDrift(found, threshold: test.threshold) == expected.drifted, "\(worked.id) \(name)")
                compared += 1
            }
        }
        #expect(compared > 110, "\(compared)")
    }

    /// n, x and scipy.stats.kstwo.sf(x, n), in every region of the distribution's methods.
    static let survivals: [(Int, Double, Double)] = [
        (1, 0.4, 1.0), (1, 0.7, 0.6000000000000001),
        (2, 0.282842712474619, 0.991370849898476), (2, 0.4949747468305832, 0.5198989873223334),
        (2, 0.7071067811865475, 0.17157287525381), (2, 0.9616652224137047, 0.002939110345181462),
        (5, 0.17888543819998318, 0.9882695293821931), (5, 0.3130495168499705, 0.6124416388294682),
        (5, 0.4472135954999579, 0.19951883851095398), (5, 0.6082104898799429, 0.02669176737924828),
        (5, 0.7602631123499285, 0.0016027701604897995), (10, 0.12649110640673517, 0.9906316398659326),
        (10, 0.22135943621178653, 0.6351973561873129), (10, 0.31622776601683794, 0.21828385386284888),
        (10, 0.4300697617828996, 0.03390127427554823), (10, 0.5375872022286244, 0.003136788699964629),
        (10, 0.7273238618387271, 6.577305777348041e-06), (60, 0.051639777949432225, 0.9947004369854837),
        (60, 0.09036961141150639, 0.6773695173839569), (60, 0.12909944487358055, 0.24784356641463112),
        (60, 0.17557524502806957, 0.043462902098529654), (60, 0.21946905628508695, 0.005109706603831254),
        (60, 0.29692872320923525, 3.478376843889691e-05), (60, 0.45184805705753195, 1.0521183642642386e-11),
        (140, 0.033806170189140665, 0.9956218793377384), (140, 0.059160797830996155, 0.6886328804323916),
        (140, 0.08451542547285165, 0.25530484459737574), (140, 0.11494097864307826, 0.04559450483891349),
        (140, 0.1436762233038478, 0.005512649956895624), (140, 0.1943854785875588, 4.14345603428748e-05),
        (140, 0.2958039891549808, 2.363070486145947e-11), (141, 0.03368607684266076, 0.9956279094470666),
        (141, 0.05895063447465632, 0.6887100401465364), (141, 0.0842151921066519, 0.2553544927215675),
        (141, 0.11453266126504659, 0.045609192585224445), (141, 0.14316582658130822, 0.005515250960112069),
        (141, 0.19369494184529934, 4.1476331600109324e-05), (141, 0.29475317237328164, 2.3729585884514376e-11),
        (500, 0.01788854381999832, 0.9963950867104379), (500, 0.03130495168499705, 0.69906657855734),
        (500, 0.044721359549995794, 0.26212693581294755), (500, 0.06082104898799428, 0.04745138704391916),
        (500, 0.07602631123499284, 0.005843134555528614), (500, 0.10285912696499032, 4.650617819075129e-05),
        (500, 0.15652475842498528, 3.6412623077414485e-11), (3000, 0.007302967433402215, 0.996876943717976),
        (3000, 0.012780193008453875, 0.7062097753740433), (3000, 0.018257418583505537, 0.26675781491296713),
        (3000, 0.024830089273567533, 0.04866204232575766), (3000, 0.03103761159195941, 0.006045991962257137),
        (3000, 0.04199206274206273, 4.926841013197933e-05), (3000, 0.06390096504226937, 4.2993659340282876e-11),
        (10000, 0.004, 0.9970213880468209), (10000, 0.006999999999999999, 0.708472725316414),
        (10000, 0.01, 0.2682191277029192), (10000, 0.013600000000000001, 0.04903580807632146),
        (10000, 0.017, 0.006106326813681723), (10000, 0.023, 5.001450539175609e-05),
        (10000, 0.035, 4.4464763926660485e-11), (60000, 0.0016329931618554521, 0.9971230775286277),
        (60000, 0.002857738033247041, 0.7101045044776229), (60000, 0.00408248290463863, 0.26927131439877905),
        (60000, 0.005552176750308537, 0.04930247893422812), (60000, 0.006940220937885671, 0.006148665843700412),
        (60000, 0.009389710680668848, 5.051294568152711e-05), (60000, 0.014288690166235204, 4.531422263832916e-11),
        (200000, 0.0008944271909999159, 0.997154489835375), (200000, 0.0015652475842498528, 0.7106153907808004),
        (200000, 0.00223606797749979, 0.2696004839203867), (200000, 0.0030410524493997143, 0.049385484202563945),
        (200000, 0.0038013155617496425, 0.006161720871812718), (200000, 0.005142956348249516, 5.066212761836284e-05),
        (200000, 0.007826237921249264, 4.5542431148919115e-11), (1000000, 0.0004, 0.9971754333502034),
        (1000000, 0.0007, 0.7109578604736), (1000000, 0.001, 0.26982107442589376),
        (1000000, 0.00136, 0.04944099739157226), (1000000, 0.0017, 0.006170418708998026),
        (1000000, 0.0023, 5.0760287993365106e-05), (1000000, 0.0035, 4.5685168455075316e-11),
    ]

    @Test("the asymptotic Kolmogorov–Smirnov chance agrees with scipy's at every size of the worked columns")
    func asymptotic() throws {
        for worked in try Self.cases() {
            guard let ks = worked.expected.methods["ks"], let expected = ks.asymptotic,
                let statistic = ks.statistic?.number
            else { continue }
            let found = KolmogorovSmirnov.asymptotic(
                statistic, worked.expected.cleaned[0], worked.expected.cleaned[1])
            #expect(agree(found, expected), "\(worked.id): \(found) instead of \(expected)")
        }
        for (n, x, expected) in Self.survivals {
            let found = KolmogorovDistribution.survival(n, x)
            #expect(abs(found - expected) <= max(1e-9 * expected, 1e-9), "n \(n), x \(x): \(found), not \(expected)")
        }
    }

    @Test("a side without a value cannot be judged, and texts have no distance of numbers")
    func cannotJudge() throws {
        #expect(throws: RulesError.self) { try DriftColumn(reference: [.nan, .infinity], current: [1]) }
        #expect(throws: RulesError.self) { try DriftColumn(reference: ["a"], current: []) }
        let texts = try DriftColumn(reference: ["a"], current: ["b"])
        #expect(throws: RulesError.self) { try texts.score(.ks) }
        #expect(throws: RulesError.self) { try DriftColumn(reference: [1, 1], current: [1, 1]).score(.anderson) }
    }

    @Test("the test of homogeneity agrees with the textbook's, and one row of a new category does not decide")
    func homogeneity() {
        // scipy.stats.chi2_contingency([[90, 60, 50], [30, 40, 20]], correction=False)
        let found = DriftStatistics.chiSquareHomogeneity(
            referenceCounts: [90, 60, 50], currentCounts: [30, 40, 20])
        #expect(abs(found.statistic - 5.99563492063492) < 1e-9 && abs(found.p - 0.04989584928640855) < 1e-9, "\(found)")
        let one = DriftStatistics.chiSquareHomogeneity(referenceCounts: [3_000, 2_000, 0], currentCounts: [60, 40, 1])
        #expect(one.p > 0.01, "\(one)")
        let many = DriftStatistics.chiSquareHomogeneity(
            referenceCounts: [3_000, 2_000, 0], currentCounts: [60, 40, 30])
        #expect(many.p < 1e-6, "\(many)")
        #expect(DriftStatistics.chiSquareHomogeneity(referenceCounts: [5], currentCounts: [7]).p == 1)
        #expect(DriftStatistics.chiSquareHomogeneity(referenceCounts: [0], currentCounts: [7]).p.isNaN)
    }

    /// A window of `rows` drawn from ten bins with `shares`.
    private func draw(_ rows: Int, _ shares: [Double], _ random: inout SplitMix64) -> [Int] {
        var counts = [Int](repeating: 0, count: shares.count)
        for _ in 0..<rows {
            var place = random.nextUnit()
            var bin = 0
            while bin < shares.count - 1, place >= shares[bin] {
                place -= shares[bin]
                bin += 1
            }
            counts[bin] += 1
        }
        return counts
    }

    @Test("unchanged windows of any size are hardly ever called drift, and shifted ones are")
    func windows() {
        var random = SplitMix64(seed: 3)
        let even = [Double](repeating: 0.1, count: 10)
        let shifted = [0.02, 0.03, 0.05, 0.05, 0.1, 0.1, 0.15, 0.15, 0.15, 0.2]
        let policy = MonitorPolicy(shareOfColumns: 0.1)
        for rows in [60, 200, 1_000] {
            var alarms = 0
            var found = 0
            for _ in 0..<300 {
                let quiet = (0..<10).map {
                    ColumnCounts(
                        name: "c\($0)", reference: draw(4_000, even, &random), current: draw(rows, even, &random))
                }
                if DriftVerdict.judge(quiet, policy: policy).isDrifted == true { alarms += 1 }
                let moved = quiet.enumerated().map { index, column in
                    var column = column
                    if index < 5 { column.current = draw(rows, shifted, &random) }
                    return column
                }
                if DriftVerdict.judge(moved, policy: MonitorPolicy()).isDrifted == true { found += 1 }
            }
            // The policy promises 1 in 100 windows; 11 of 300 would have a chance below 0.1 %.
            #expect(alarms < 11, "\(rows) rows: \(alarms)")
            // In 60 rows half the columns cannot be told; that is "not drift", and said so by the p-values.
            #expect(rows < 100 || found > 295, "\(rows) rows: \(found)")
        }
    }

    @Test("a window with too few rows is not judged, which is no pass")
    func small() {
        let column = ColumnCounts(name: "a", reference: [100, 100], current: [0, 5])
        let judgement = DriftVerdict.judge([column], policy: MonitorPolicy())
        #expect(judgement.isDrifted == nil && judgement.share == nil)
        #expect(DriftVerdict.judge([], policy: MonitorPolicy()).isDrifted == nil)
        let full = ColumnCounts(name: "b", reference: [100, 100], current: [0, 500])
        let half = DriftVerdict.judge([full, full, column], policy: MonitorPolicy())
        #expect(half.share == 1 && half.isDrifted == true)
        #expect(half.columns.map(\.isDrifted) == [true, true, nil])
    }

    @Test("an alert fires and resolves only after windows in a row")
    func hysteresis() {
        var alert = DriftHysteresis()
        let policy = MonitorPolicy(fireAfterWindows: 2, resolveAfterWindows: 2)
        let windows: [(Bool?, DriftHysteresis.Change?)] = [
            (true, nil), (false, nil), (true, nil), (nil, nil), (true, .fired), (true, nil), (false, nil), (true, nil),
            (false, nil), (nil, nil), (false, .resolved), (false, nil),
        ]
        for (isDrifted, expected) in windows { #expect(alert.observe(isDrifted, policy: policy) == expected) }
        var quick = DriftHysteresis()
        #expect(quick.observe(true, policy: MonitorPolicy()) == .fired)
        #expect(quick.observe(true, policy: MonitorPolicy()) == nil)
        #expect(quick.observe(false, policy: MonitorPolicy()) == nil)
        #expect(quick.observe(false, policy: MonitorPolicy()) == .resolved)
    }
}
