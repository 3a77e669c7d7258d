//! Stands between a program and its disk, loaded with `LD_PRELOAD`; for tests only (`storage/tests/shim`).
//!
//! For files below one directory it writes down every change and every sync, in order, into a log outside, so that a
//! test can make any state of the disk that a power cut may leave; and it fails chosen operations with a chosen error.
//! Lines that the program writes to its standard output go into the same log: what was acknowledged when.
//!
//! All calls are made one after the other, as system calls: this library must not call what it replaces. What a program
//! does with system calls of its own (`tempfile`'s rename) it does not see; the reader of the log infers those.

#![allow(unsafe_code, reason = "it replaces functions of the C library, which are called with raw pointers")]

mod calls;
mod fault;
mod log;
mod watch;
