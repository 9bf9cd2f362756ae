import NIOCore
import NIOPosix
import NauraServing

/// What a load run came to.
struct LoadResult {
    let rate: Double
    let latency: LatencyHistogram
    /// Answers other than 200.
    let failures: Int
}

/// Sends one request again and again over some connections, each waiting for its answer, from one thread.
struct Load {
    let port: Int
    let request: ByteBuffer
    let connections: Int

    func run(seconds: Double) async throws -> LoadResult {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let start = NIODeadline.now()
        let deadline = start + .nanoseconds(Int64(seconds * 1e9))
        let bootstrap = ClientBootstrap(group: group)
            .channelOption(.socketOption(.tcp_nodelay), value: 1)
        var handlers: [NIOLoopBound<LoadHandler>] = []
        var channels: [any Channel] = []
        for _ in 0..<connections {
            let (channel, handler) = try await bootstrap.connect(host: "127.0.0.1", port: port) { [request] channel in
                channel.eventLoop.makeCompletedFuture {
                    let handler = LoadHandler(request: request, deadline: deadline)
                    try channel.pipeline.syncOperations.addHandler(handler)
                    return (channel, NIOLoopBound(handler, eventLoop: channel.eventLoop))
                }
            }
            channels.append(channel)
            handlers.append(handler)
        }
        for channel in channels { try await channel.closeFuture.get() }
        let elapsed = Double((NIODeadline.now() - start).nanoseconds) / 1e9
        let results = try await group.next().submit { [handlers] in
            handlers.map { ($0.value.latency, $0.value.failures) }
        }.get()
        try await group.shutdownGracefully()
        var latency = LatencyHistogram()
        for result in results { latency.add(result.0) }
        return LoadResult(
            rate: Double(latency.count) / elapsed, latency: latency, failures: results.reduce(0) { $0 + $1.1 })
    }
}

/// One connection: a request, its answer, the next request. Reads of HTTP only what it must: the status and the length.
final class LoadHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let request: ByteBuffer
    private let deadline: NIODeadline
    private var sentAt = NIODeadline.now()
    private var received = ByteBuffer()
    private(set) var latency = LatencyHistogram()
    private(set) var failures = 0

    init(request: ByteBuffer, deadline: NIODeadline) {
        self.request = request
        self.deadline = deadline
    }

    func channelActive(context: ChannelHandlerContext) { send(context) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var part = unwrapInboundIn(data)
        received.writeBuffer(&part)
        guard let length = answerLength() else { return }
        let now = NIODeadline.now()
        latency.record(nanoseconds: UInt64((now - sentAt).nanoseconds))
        if received.getBytes(at: received.readerIndex + 9, length: 3) != Array("200".utf8) { failures += 1 }
        received.moveReaderIndex(forwardBy: length)
        received.discardReadBytes()
        if now < deadline { send(context) } else { context.close(promise: nil) }
    }

    private func send(_ context: ChannelHandlerContext) {
        sentAt = .now()
        context.writeAndFlush(wrapOutboundOut(request), promise: nil)
    }

    /// Bytes of the answer that has arrived whole; nil while it has not.
    private func answerLength() -> Int? {
        received.withUnsafeReadableBytes { bytes in
            let field = Array("content-length: ".utf8)
            var line = 0
            var length = 0
            var index = 0
            while index + 1 < bytes.count {
                guard bytes[index] == 0x0D, bytes[index + 1] == 0x0A else {
                    index += 1
                    continue
                }
                if index == line { return index + 2 + length <= bytes.count ? index + 2 + length : nil }
                if index - line > field.count, zip(field, bytes[line...]).allSatisfy({ $0 == $1 | 0x20 }) {
                    length = bytes[(line + field.count)..<index].reduce(0) { $0 * 10 + Int($1 - 0x30) }
                }
                index += 2
                line = index
            }
            return nil
        }
    }
}
