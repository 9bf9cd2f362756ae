// This folder is the target NauraSchemas: its text files are embedded as `EmbeddedFiles` by Plugins/EmbedFiles. SwiftPM
// wants one source file beside what a plugin generates.
