//! A machine that was started anew: the side file `settled` names another boot than this one.

use std::fs;
use std::path::Path;

const SLOTS: [usize; 2] = [0, 512];
const BOOT: std::ops::Range<usize> = 24..60;
const BODY: usize = 64;

/// Makes what lies at `path` look as written before this boot. Slots that are not whole stay as they are.
pub(crate) fn reboot(path: &Path) {
    let file = path.join("settled");
    let Ok(mut bytes) = fs::read(&file) else { return };
    for at in SLOTS {
        let Some(slot) = bytes.get_mut(at..at + BODY + 8) else { continue };
        let (body, sum) = slot.split_at_mut(BODY);
        if xxhash_rust::xxh3::xxh3_64(body).to_be_bytes() == *sum {
            body[BOOT].fill(b'0');
            sum.copy_from_slice(&xxhash_rust::xxh3::xxh3_64(body).to_be_bytes());
        }
    }
    fs::write(file, bytes).unwrap();
}
