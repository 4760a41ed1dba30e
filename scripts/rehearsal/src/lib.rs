//! The next runtime, built for rehearsing an upgrade: everything happens in `build.rs`.
