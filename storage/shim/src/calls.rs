//! The functions of the C library that are replaced: those by which Rust's standard library changes files on Linux.

#![allow(unreachable_pub, reason = "the dynamic linker reaches them")]

use std::ffi::CStr;

use libc::{c_char, c_int, c_long, c_void, iovec, mode_t, off64_t, size_t, ssize_t};

use crate::fault::{Doing, Verdict};
use crate::log::{Kind, note};
use crate::watch::{Opened, Watch, named, watch};

fn set_errno(errno: c_int) -> c_long {
    // SAFETY: the C library's place for this thread's error.
    unsafe { *libc::__errno_location() = errno };
    -1
}

/// Asks whether an operation on a watched path is to fail; writes it down if so.
fn refused(watch: &mut Watch, doing: Doing, path: &str) -> Option<c_long> {
    match watch.faults.judge(doing, path, 0) {
        Verdict::Fail(errno) => {
            note(Kind::Failed, 0, errno as u64, path.as_bytes());
            Some(set_errno(errno))
        }
        Verdict::Go | Verdict::Short(_) => None,
    }
}

/// # Safety
/// `path` must be a C string.
unsafe fn exists(folder: c_int, path: *const c_char) -> bool {
    // SAFETY: the caller's path; nothing is written.
    unsafe { libc::syscall(libc::SYS_faccessat, c_long::from(folder), path, c_long::from(libc::F_OK)) == 0 }
}

/// # Safety
/// `path` must be a C string.
unsafe fn opens(folder: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    let mut watch = watch();
    // SAFETY: the caller's path.
    let named = unsafe { named(&watch, path) };
    let mut made = false;
    if let Some(name) = &named {
        // SAFETY: as above.
        made = flags & libc::O_CREAT != 0 && !unsafe { exists(folder, path) };
        let doing = match (made, flags & libc::O_ACCMODE) {
            (true, _) => Some(Doing::Make),
            (false, libc::O_RDONLY) => None,
            (false, _) => Some(Doing::OpenToWrite),
        };
        if let Some(failed) = doing.and_then(|doing| refused(&mut watch, doing, name)) {
            return failed as c_int;
        }
    }
    // SAFETY: the caller's arguments.
    let file = unsafe {
        libc::syscall(libc::SYS_openat, c_long::from(folder), path, c_long::from(flags), c_long::from(mode)) as c_int
    };
    if file >= 0 {
        watch.forget(file);
        if named.is_some()
            && let Some(Opened { inode, path, folder: false }) = watch.opened(file)
        {
            note(if made { Kind::Create } else { Kind::Open }, inode, 0, path.as_bytes());
            if flags & libc::O_TRUNC != 0 {
                note(Kind::Resize, inode, 0, &[]);
            }
        }
    }
    file
}

/// # Safety
/// As open(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the caller's.
    unsafe { opens(libc::AT_FDCWD, path, flags, mode) }
}

/// # Safety
/// As open(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the caller's.
    unsafe { opens(libc::AT_FDCWD, path, flags, mode) }
}

/// # Safety
/// As openat(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn openat(folder: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the caller's.
    unsafe { opens(folder, path, flags, mode) }
}

/// # Safety
/// As openat(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn openat64(folder: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the caller's.
    unsafe { opens(folder, path, flags, mode) }
}

/// # Safety
/// As close(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn close(file: c_int) -> c_int {
    let mut watch = watch();
    watch.forget(file);
    // SAFETY: the caller's.
    unsafe { libc::syscall(libc::SYS_close, c_long::from(file)) as c_int }
}

/// Writes through `write`, which gets the number of bytes that it may write, and writes down what was written.
fn writes(file: c_int, text: &[u8], at: Option<off64_t>, write: impl FnOnce(size_t) -> c_long) -> ssize_t {
    let mut watch = watch();
    let Some(opened) = watch.opened(file) else {
        let written = write(text.len());
        if file == 1
            && let Some(said) = text.get(..usize::try_from(written).unwrap_or(0))
        {
            note(Kind::Said, 0, 0, said);
        }
        return written as ssize_t;
    };
    let room = match watch.faults.judge(Doing::Write, &opened.path, text.len()) {
        Verdict::Go => text.len(),
        Verdict::Short(room) => room,
        Verdict::Fail(errno) => {
            note(Kind::Failed, opened.inode, errno as u64, opened.path.as_bytes());
            return set_errno(errno) as ssize_t;
        }
    };
    let written = write(room);
    if let Some(text) = text.get(..usize::try_from(written).unwrap_or(0)) {
        let offset = at.unwrap_or_else(|| {
            // SAFETY: asks where the file stands, which is behind what was written.
            let behind = unsafe {
                libc::syscall(libc::SYS_lseek, c_long::from(file), 0 as c_long, c_long::from(libc::SEEK_CUR))
            };
            behind - written
        });
        note(Kind::Write, opened.inode, offset as u64, text);
    }
    written as ssize_t
}

/// # Safety
/// As write(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn write(file: c_int, bytes: *const c_void, count: size_t) -> ssize_t {
    // SAFETY: the caller's buffer; empty ones may be null.
    let text = if count == 0 { &[] } else { unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), count) } };
    // SAFETY: the caller's, no longer than it said.
    writes(file, text, None, |room| unsafe { libc::syscall(libc::SYS_write, c_long::from(file), bytes, room) })
}

/// # Safety
/// As pwrite(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite64(file: c_int, bytes: *const c_void, count: size_t, at: off64_t) -> ssize_t {
    // SAFETY: the caller's buffer; empty ones may be null.
    let text = if count == 0 { &[] } else { unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), count) } };
    // SAFETY: the caller's, no longer than it said.
    writes(file, text, Some(at), |room| unsafe {
        libc::syscall(libc::SYS_pwrite64, c_long::from(file), bytes, room, at)
    })
}

/// # Safety
/// As writev(2). Writes the first part that is not empty, which a writer must expect.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn writev(file: c_int, parts: *const iovec, count: c_int) -> ssize_t {
    for place in 0..usize::try_from(count).unwrap_or(0) {
        // SAFETY: the caller's array has `count` parts.
        let part = unsafe { &*parts.add(place) };
        if part.iov_len > 0 {
            // SAFETY: the caller's part.
            return unsafe { write(file, part.iov_base, part.iov_len) };
        }
    }
    0
}

fn syncs(file: c_int, call: c_long) -> c_int {
    let mut watch = watch();
    let Some(opened) = watch.opened(file) else {
        // SAFETY: a sync changes nothing in memory.
        return unsafe { libc::syscall(call, c_long::from(file)) as c_int };
    };
    if watch.lies(&opened.path) {
        return 0;
    }
    if let Some(failed) = refused(&mut watch, Doing::Sync, &opened.path) {
        return failed as c_int;
    }
    // The disk below is not asked: what it would hold after a power cut, the test makes from this log.
    match opened.folder {
        true => note(Kind::SyncFolder, opened.inode, 0, opened.path.as_bytes()),
        false => note(Kind::Sync, opened.inode, 0, &[]),
    }
    0
}

/// # Safety
/// As fsync(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fsync(file: c_int) -> c_int {
    syncs(file, libc::SYS_fsync)
}

/// # Safety
/// As fdatasync(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fdatasync(file: c_int) -> c_int {
    syncs(file, libc::SYS_fdatasync)
}

/// # Safety
/// As ftruncate(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ftruncate64(file: c_int, length: off64_t) -> c_int {
    let mut watch = watch();
    let opened = watch.opened(file);
    if let Some(opened) = &opened
        && let Some(failed) = refused(&mut watch, Doing::Resize, &opened.path)
    {
        return failed as c_int;
    }
    // SAFETY: the caller's.
    let failed = unsafe { libc::syscall(libc::SYS_ftruncate, c_long::from(file), length) };
    if let (0, Some(opened)) = (failed, opened) {
        note(Kind::Resize, opened.inode, length as u64, &[]);
    }
    failed as c_int
}

/// # Safety
/// As ftruncate(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ftruncate(file: c_int, length: off64_t) -> c_int {
    // SAFETY: the caller's.
    unsafe { ftruncate64(file, length) }
}

/// A change of names: asks, does it, and writes it down.
///
/// # Safety
/// `path` must be a C string.
unsafe fn renames(kind: Kind, doing: Doing, path: *const c_char, other: &[u8], call: impl FnOnce() -> c_long) -> c_int {
    let mut watch = watch();
    // SAFETY: the caller's path.
    let Some(path) = (unsafe { named(&watch, path) }) else { return call() as c_int };
    if let Some(failed) = refused(&mut watch, doing, &path) {
        return failed as c_int;
    }
    let failed = call();
    if failed == 0 {
        note(kind, 0, 0, &[path.as_bytes(), other].concat());
    }
    failed as c_int
}

/// # Safety
/// As rename(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    // SAFETY: the caller's path.
    let other = [b"\0", unsafe { CStr::from_ptr(to) }.to_bytes()].concat();
    // SAFETY: the caller's.
    unsafe { renames(Kind::Rename, Doing::Name, from, &other, || libc::syscall(libc::SYS_rename, from, to)) }
}

/// # Safety
/// As unlink(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn unlink(path: *const c_char) -> c_int {
    // SAFETY: the caller's.
    unsafe { renames(Kind::Unlink, Doing::Name, path, &[], || libc::syscall(libc::SYS_unlink, path)) }
}

/// # Safety
/// As rmdir(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmdir(path: *const c_char) -> c_int {
    // SAFETY: the caller's.
    unsafe { renames(Kind::RemoveFolder, Doing::Name, path, &[], || libc::syscall(libc::SYS_rmdir, path)) }
}

/// # Safety
/// As mkdir(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mkdir(path: *const c_char, mode: mode_t) -> c_int {
    // SAFETY: the caller's.
    unsafe {
        renames(Kind::MakeFolder, Doing::Make, path, &[], || libc::syscall(libc::SYS_mkdir, path, c_long::from(mode)))
    }
}

/// # Safety
/// As unlinkat(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn unlinkat(folder: c_int, name: *const c_char, flags: c_int) -> c_int {
    let mut watch = watch();
    // The C library closes folders (closedir) without a call that could be seen here.
    watch.forget(folder);
    let parent = watch.opened(folder).filter(|it| it.folder);
    // SAFETY: the caller's.
    let failed = unsafe { libc::syscall(libc::SYS_unlinkat, c_long::from(folder), name, c_long::from(flags)) };
    if let (0, Some(parent)) = (failed, parent) {
        // SAFETY: the caller's path.
        let name = unsafe { CStr::from_ptr(name) }.to_bytes();
        let kind = if flags & libc::AT_REMOVEDIR == 0 { Kind::Unlink } else { Kind::RemoveFolder };
        note(kind, 0, 0, &[parent.path.as_bytes(), b"/", name].concat());
    }
    failed as c_int
}
