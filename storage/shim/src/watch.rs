//! Which files are watched, and the one lock under which everything happens.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use libc::{c_char, c_int, c_long};

use crate::fault::Faults;
use crate::log;

/// A watched file that is open.
#[derive(Clone)]
pub(crate) struct Opened {
    pub(crate) inode: u64,
    pub(crate) path: String,
    pub(crate) folder: bool,
}

/// The state of the library.
pub(crate) struct Watch {
    root: String,
    pub(crate) faults: Faults,
    /// Syncs of files whose path holds this answer well and are not written down: a disk that lies. Empty: none.
    lies: String,
    /// `None`: looked at, and not watched.
    open: HashMap<c_int, Option<Opened>>,
}

static WATCH: OnceLock<Mutex<Watch>> = OnceLock::new();

/// Takes the lock; the first call reads what the test asked for.
pub(crate) fn watch() -> MutexGuard<'static, Watch> {
    let watch = WATCH.get_or_init(|| {
        // tidy(environment read once): a library that is loaded under a program has no other way to be told.
        let asked = |name: &str| std::env::var(name).unwrap_or_default();
        log::open(&asked("BELLHOP_SHIM_LOG"));
        let faults = Faults::parse(&asked("BELLHOP_SHIM_FAULT"));
        let root = asked("BELLHOP_SHIM_ROOT");
        Mutex::new(Watch { root, faults, lies: asked("BELLHOP_SHIM_LIES"), open: HashMap::new() })
    });
    watch.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Inode and whether it is a folder.
fn status(file: c_int) -> Option<(u64, bool)> {
    // SAFETY: a `stat` of zeros is a value, and the call writes no more than one.
    let mut status: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: as above; `file` may be any number.
    let failed = unsafe { libc::syscall(libc::SYS_fstat, c_long::from(file), &raw mut status) };
    (failed == 0).then_some((status.st_ino, status.st_mode & libc::S_IFMT == libc::S_IFDIR))
}

/// The path of an open file, as the kernel has it.
fn path_of(file: c_int) -> Option<String> {
    let link = CString::new(format!("/proc/self/fd/{file}")).ok()?;
    let mut path = [0_u8; 4096];
    // SAFETY: `link` is a C string, and no more than `path` holds is written.
    let length = unsafe { libc::syscall(libc::SYS_readlink, link.as_ptr(), path.as_mut_ptr(), path.len()) };
    let path = path.get(..usize::try_from(length).ok()?)?;
    Some(std::str::from_utf8(path).ok()?.to_owned())
}

/// A path that a caller named, if it is watched.
///
/// # Safety
/// `path` must be a C string or null.
pub(crate) unsafe fn named(watch: &Watch, path: *const c_char) -> Option<String> {
    if path.is_null() || watch.root.is_empty() {
        return None;
    }
    // SAFETY: the caller says so.
    let path = unsafe { CStr::from_ptr(path) }.to_str().ok()?;
    (path == watch.root || path.strip_prefix(&watch.root)?.starts_with('/')).then(|| path.to_owned())
}

impl Watch {
    /// The watched file behind a number, if it is one.
    pub(crate) fn opened(&mut self, file: c_int) -> Option<Opened> {
        if file < 3 || self.root.is_empty() {
            return None;
        }
        if let Some(known) = self.open.get(&file) {
            return known.clone();
        }
        let look = || {
            let path = path_of(file)?;
            let below = path == self.root || path.strip_prefix(&self.root)?.starts_with('/');
            let (inode, folder) = status(file)?;
            below.then_some(Opened { inode, path, folder })
        };
        let found = look();
        self.open.insert(file, found.clone());
        found
    }

    pub(crate) fn lies(&self, path: &str) -> bool {
        !self.lies.is_empty() && path.contains(&self.lies)
    }

    /// The number stands for nothing any more, or for something else.
    pub(crate) fn forget(&mut self, file: c_int) {
        self.open.remove(&file);
    }
}
