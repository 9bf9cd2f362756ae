// What a job answered for is settled when the job fails for good. A job that is tried again must find it open.

import Foundation
import NauraPostgres

/// Opens again what a failed job had given up.
public enum RedrivenJobs {
    private struct Arguments: Decodable {
        let dataset: String?
        let number: Int?
        let model: String?
        let version: Int?
    }

    /// Opens what the failed job `id` of `kind` answered for, in the transaction that has the job wait again; kinds that
    /// answer for no row of their own change nothing.
    /// - Parameter arguments: the job's, as JSON.
    public static func reopen(
        _ id: Int, kind: String, arguments: String, in transaction: Transaction
    ) async throws {
        let known: Arguments
        do {
            known = try JSONDecoder().decode(Arguments.self, from: Data(arguments.utf8))
        } catch {
            // The runner refuses such a job, and says why.
            return
        }
        switch (kind, known.dataset, known.number, known.model, known.version) {
        case ("validate", let dataset?, let number?, _, _):
            try await reopenSnapshot(dataset, number, isValidated: false, in: transaction)
        case ("featurize", let dataset?, let number?, _, _):
            try await reopenSnapshot(dataset, number, isValidated: true, in: transaction)
        case ("train", _, _, _?, _): try await reopenTraining(of: id, in: transaction)
        case ("evaluate", _, _, let model?, let version?):
            try await reopenVersion(model, version, job: id, in: transaction)
        default: break
        }
    }

    private static func reopenSnapshot(
        _ dataset: String, _ number: Int, isValidated: Bool, in transaction: Transaction
    ) async throws {
        try await transaction.execute(
            """
            update naura.snapshot set state = \(isValidated ? "validated" : "arrived"), violations = null,
                settled_at = null
            where dataset = \(dataset) and number = \(number) and state = 'failed'
            and (sha256 is not null) = \(isValidated)
            """)
    }

    private static func reopenTraining(of job: Int, in transaction: Transaction) async throws {
        try await transaction.execute(
            """
            update naura.run set state = 'running', ended_at = null
            where state = 'failed' and request_id in (
                select id from naura.training_request where job_id = \(job) and state = 'failed')
            """)
        try await transaction.execute(
            """
            update naura.training_request set state = 'frozen', reason = null, settled_at = null
            where job_id = \(job) and state = 'failed'
            """)
    }

    /// A verdict of its own job that nobody could judge makes room for a real one.
    private static func reopenVersion(
        _ model: String, _ version: Int, job: Int, in transaction: Transaction
    ) async throws {
        try await transaction.execute(
            """
            update naura.model_version set state = 'trained'
            where model = \(model) and version = \(version)::int and state = 'rejected' and exists (
                select 1 from naura.evaluation e where e.model = \(model) and e.version = \(version)::int
                and e.job_id = \(job) and e.verdict = 'cannot-judge')
            """)
        try await transaction.execute(
            """
            delete from naura.evaluation where model = \(model) and version = \(version)::int and job_id = \(job)
            and verdict = 'cannot-judge'
            """)
    }
}
