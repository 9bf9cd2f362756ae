import Glibc

/// A file that is written line by line through a buffer.
struct LineWriter: ~Copyable {
    private let file: UnsafeMutablePointer<FILE>
    private let path: String

    init(path: String) throws(ModelFault) {
        guard let file = fopen(path, "w") else { throw Self.fault("written", path) }
        self.file = file
        self.path = path
    }

    deinit { fclose(file) }

    func write(_ line: [UInt8]) throws(ModelFault) {
        guard fwrite(line, 1, line.count, file) == line.count else { throw Self.fault("written", path) }
    }

    /// Everything written so far reaches the file.
    func flush() throws(ModelFault) {
        guard fflush(file) == 0 else { throw Self.fault("written", path) }
    }

    static func fault(_ act: String, _ path: String) -> ModelFault {
        ModelFault(.unreadable, "\(path) cannot be \(act): \(String(cString: strerror(errno)))")
    }
}

/// A file that is read line by line; memory holds one line.
struct LineReader: ~Copyable {
    private let file: UnsafeMutablePointer<FILE>
    private var line: UnsafeMutablePointer<CChar>?
    private var capacity = 0

    init(path: String) throws(ModelFault) {
        guard let file = fopen(path, "r") else { throw LineWriter.fault("read", path) }
        self.file = file
    }

    deinit {
        fclose(file)
        free(line)
    }

    /// The next line without its end; nil after the last.
    mutating func next() -> [UInt8]? {
        var count = getline(&line, &capacity, file)
        guard count > 0, let line else { return nil }
        if line[count - 1] == 10 { count -= 1 }
        return UnsafeRawBufferPointer(start: line, count: count).map { $0 }
    }
}
