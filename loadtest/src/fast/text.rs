//! What pairs say: words that differ from message to message and can be made again for comparing.

use std::io::Write;

use crate::dice::{Dice, mix};

/// Bytes of a message.
pub(crate) const MESSAGE_BYTES: usize = 128;
/// Text from which messages are cut, bytes; large enough that two hardly ever start alike.
const POOL_BYTES: usize = 64 * 1024;

const WORDS: [&str; 24] = [
    "order", "parcel", "when", "will", "it", "arrive", "thanks", "please", "refund", "size", "blue", "the", "could",
    "you", "check", "again", "invoice", "address", "is", "wrong", "on", "my", "account", "today",
];

pub(crate) struct Texts(Vec<u8>);

impl Texts {
    pub(crate) fn new() -> Self {
        let mut dice = Dice::new(1);
        let mut pool = Vec::with_capacity(POOL_BYTES + 16);
        while pool.len() < POOL_BYTES {
            pool.extend_from_slice(WORDS[dice.below(WORDS.len() as u64) as usize].as_bytes());
            pool.push(b' ');
        }
        Self(pool)
    }

    /// Appends message `index` of the pair with this seed: [`MESSAGE_BYTES`] of lower-case letters, digits, spaces and
    /// a full stop, which JSON writes as they are.
    pub(crate) fn append(&self, out: &mut Vec<u8>, seed: u64, index: u32) {
        let begin = out.len();
        // Writing to memory does not fail.
        let _ = write!(out, "{index} {seed:016x} ");
        let rest = MESSAGE_BYTES - 1 - (out.len() - begin);
        let start = mix(seed ^ u64::from(index).rotate_left(32)) as usize % (self.0.len() - rest);
        out.extend_from_slice(&self.0[start..start + rest]);
        out.push(b'.');
    }
}

#[cfg(test)]
mod tests {
    use super::{MESSAGE_BYTES, Texts};

    #[test]
    fn texts_are_128_bytes_varied_and_repeatable() {
        let texts = Texts::new();
        let mut seen = std::collections::HashSet::new();
        for seed in [0, 1, u64::MAX] {
            for index in [0, 1, 2, 10, u32::MAX] {
                let text = |texts: &Texts| {
                    let mut text = Vec::new();
                    texts.append(&mut text, seed, index);
                    text
                };
                assert_eq!((text(&texts).len(), text(&texts).trim_ascii().len()), (MESSAGE_BYTES, MESSAGE_BYTES));
                assert_eq!(text(&texts), text(&Texts::new()));
                assert!(seen.insert(text(&texts)));
            }
        }
    }
}
