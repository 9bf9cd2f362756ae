// What C libraries would do at a process's end, and must not.
//
// OpenSSL frees its locks in a handler of `exit`, while threads of ours that spoke to a database with it may still be
// ending: their own last step then takes a lock that is gone, and a process that had done its work dies with signal 11.
// The kernel takes the memory back in any case.

import Foundation

public enum NativeCleanup {
    /// Tells OpenSSL, once, not to clean up at `exit`. Heard only before OpenSSL's first use: whoever may be the first
    /// calls this before. Where no OpenSSL is loaded, nothing happens.
    ///
    /// Source: `OPENSSL_init_crypto(3)`, `OPENSSL_INIT_NO_ATEXIT`.
    public static func leaveToTheKernel() { once }

    private static let once: Void = {
        typealias Initialise = @convention(c) (UInt64, OpaquePointer?) -> Int32
        let everyLibrary = dlopen(nil, RTLD_NOW)
        guard let symbol = dlsym(everyLibrary, "OPENSSL_init_crypto") else { return }
        let noCleanupAtExit: UInt64 = 0x0008_0000
        _ = unsafeBitCast(symbol, to: Initialise.self)(noCleanupAtExit, nil)
    }()
}
