import Foundation
import NauraEvents

// GitHub's `push` and `pull_request` events, as much of them as says what was merged. Gitea and Forgejo send the same.

/// What a webhook's body says to Naura.
enum GitHubDelivery: Equatable {
    /// `distinction` tells apart what repository, ref and commit do not: a branch that was forced back to an earlier
    /// commit is news, though that commit was there before.
    case merged(CodeMerged, distinction: String)
    /// Nothing was merged; the reason is for whoever looks at the code host's list of deliveries.
    case ignored(String)

    /// Reads the body of an event of `kind`, as `X-GitHub-Event` names it.
    /// - Throws: `DecodingError` when the body is no such event.
    init(kind: String, body: Data) throws {
        let decoder = JSONDecoder()
        decoder.dateDecodingStrategy = .custom { decoder in
            let text = try decoder.singleValueContainer().decode(String.self)
            guard let date = CodableTimes.date(from: text) else {
                throw DecodingError.dataCorrupted(
                    .init(codingPath: decoder.codingPath, debugDescription: "`\(text)` is no RFC 3339 time"))
            }
            return date
        }
        switch kind {
        case "ping": self = .ignored("the webhook is set up: merges become code-merged events")
        case "push": self = GitHubDelivery(try decoder.decode(GitHubPush.self, from: body))
        case "pull_request": self = GitHubDelivery(try decoder.decode(GitHubPullRequest.self, from: body))
        default: self = .ignored("events of kind \(kind) are not used; send push, or pull_request")
        }
    }

    private init(_ push: GitHubPush) {
        guard push.ref.hasPrefix("refs/heads/") else {
            self = .ignored("\(push.ref) is no branch")
            return
        }
        let isGone = push.deleted == true || push.after.allSatisfy { $0 == "0" }
        guard !isGone else {
            self = .ignored("the branch \(push.ref) was deleted")
            return
        }
        let isForced = push.forced == true
        let author = push.headCommit?.author?.username ?? push.headCommit?.author?.name ?? push.pusher?.name
        self = .merged(
            CodeMerged(
                repository: push.repository.fullName, commit: push.after, ref: push.ref,
                paths: isForced ? [] : push.paths, author: author, mergedAt: push.headCommit?.timestamp),
            distinction: isForced ? "forced from \(push.before)" : "")
    }

    private init(_ event: GitHubPullRequest) {
        let request = event.pullRequest
        guard event.action == "closed", request.merged == true, let commit = request.mergeCommitSHA else {
            self = .ignored(
                event.action == "closed"
                    ? "the pull request was closed without a merge" : "the pull request was \(event.action), not merged"
            )
            return
        }
        self = .merged(
            CodeMerged(
                repository: event.repository.fullName, commit: commit, ref: "refs/heads/\(request.base.ref)", paths: [],
                author: request.user?.login, mergedAt: request.mergedAt),
            distinction: "")
    }
}

/// The event `push`.
private struct GitHubPush: Decodable {
    struct Commit: Decodable {
        struct Author: Decodable {
            let name: String?
            let username: String?
        }
        let timestamp: Date?
        let author: Author?
        let added: [String]?
        let modified: [String]?
        let removed: [String]?
    }
    struct Pusher: Decodable { let name: String? }

    let ref: String
    let before: String
    let after: String
    let deleted: Bool?
    let forced: Bool?
    let repository: GitHubRepository
    let headCommit: Commit?
    let commits: [Commit]?
    let pusher: Pusher?

    private enum CodingKeys: String, CodingKey {
        case ref, before, after, deleted, forced, repository, commits, pusher
        case headCommit = "head_commit"
    }

    /// GitHub lists so many commits of a push at most, and its documentation named this smaller number before.
    private static let commitLists = [2_048, 20]
    /// An event's body has room for more, but not for its neighbours.
    private static let pathBytesMax = 400_000

    /// The files that the push changed; empty when the list may not be whole, for a merge that does not say what it
    /// changed concerns every model of its branch, and one that says too little would skip a training.
    var paths: [String] {
        guard let commits, !GitHubPush.commitLists.contains(commits.count) else { return [] }
        var paths: Set<String> = []
        for commit in commits {
            guard let added = commit.added, let modified = commit.modified, let removed = commit.removed else {
                return []
            }
            paths.formUnion(added + modified + removed)
        }
        let bytes = paths.reduce(0) { $0 + $1.utf8.count }
        return bytes > GitHubPush.pathBytesMax ? [] : paths.sorted()
    }
}

/// The event `pull_request`. It does not say which files changed.
private struct GitHubPullRequest: Decodable {
    struct PullRequest: Decodable {
        struct Base: Decodable { let ref: String }
        struct User: Decodable { let login: String? }
        let merged: Bool?
        let mergeCommitSHA: String?
        let mergedAt: Date?
        let base: Base
        let user: User?

        private enum CodingKeys: String, CodingKey {
            case merged, base, user
            case mergeCommitSHA = "merge_commit_sha"
            case mergedAt = "merged_at"
        }
    }

    let action: String
    let pullRequest: PullRequest
    let repository: GitHubRepository

    private enum CodingKeys: String, CodingKey {
        case action, repository
        case pullRequest = "pull_request"
    }
}

private struct GitHubRepository: Decodable {
    let fullName: String

    private enum CodingKeys: String, CodingKey { case fullName = "full_name" }
}
