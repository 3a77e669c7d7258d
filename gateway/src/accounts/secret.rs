//! Texts that must never be logged, and the tokens made of random bytes.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bellhop_engine::domain::TokenId;
use sha2::{Digest, Sha256};

/// A token, link or password. Shows as `[secret]` wherever it is printed or logged; only [`Secret::expose`] gives it,
/// at the one place where it is meant to leave.
#[derive(Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself: for a body, a cookie, a frame or a terminal that asked for it, never for a log.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// What a random token is for; its prefix tells secret scanners (and people) what they found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TokenKind {
    ApiKey,
    Link,
    Login,
}

impl TokenKind {
    fn prefix(self) -> &'static str {
        match self {
            Self::ApiKey => "bhk",
            Self::Link => "bhl",
            Self::Login => "bhc",
        }
    }
}

/// A new random token: `<prefix>_<32 hex id>_<43 base64url>`. The id finds the record; only the SHA-256 of the 32
/// secret bytes is stored (no slow hash needed: 256 random bits cannot be guessed).
#[must_use]
pub(super) struct Minted {
    pub id: TokenId,
    pub text: Secret,
    pub hash: [u8; 32],
}

/// Makes a token.
pub(super) fn mint(kind: TokenKind) -> Minted {
    let id = TokenId(random_id());
    let secret = random_bytes();
    let text = format!("{}_{id}_{}", kind.prefix(), URL_SAFE_NO_PAD.encode(secret));
    Minted { id, text: Secret::new(text), hash: Sha256::digest(secret).into() }
}

/// Reads a token: its id and its secret's hash; `None` when it is not of this form.
pub(super) fn parse(kind: TokenKind, text: &str) -> Option<(TokenId, [u8; 32])> {
    let rest = text.strip_prefix(kind.prefix())?.strip_prefix('_')?;
    let (id, secret) = rest.split_at_checked(32)?;
    let id = bellhop_protocol::Id::parse(id).ok()?;
    let mut bytes = [0u8; 33];
    let length = URL_SAFE_NO_PAD.decode_slice(secret.strip_prefix('_')?, &mut bytes).ok()?;
    (length == 32).then(|| (TokenId(id.0), Sha256::digest(&bytes[..32]).into()))
}

/// Compares without telling by its time where the first difference lies.
#[must_use]
pub(super) fn same(left: &[u8; 32], right: &[u8; 32]) -> bool {
    let difference = left.iter().zip(right).fold(0u8, |sum, (a, b)| sum | (a ^ b));
    std::hint::black_box(difference) == 0
}

/// 32 bytes of the operating system's randomness.
pub(crate) fn random_bytes() -> [u8; 32] {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).expect("Linux's getrandom(2) cannot fail for 32 bytes once the system has booted");
    bytes
}

/// A random 128-bit id.
pub(crate) fn random_id() -> u128 {
    let bytes = random_bytes();
    let mut half = [0u8; 16];
    half.copy_from_slice(&bytes[..16]);
    u128::from_be_bytes(half)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_back_and_anything_else_is_none() {
        let minted = mint(TokenKind::ApiKey);
        let text = minted.text.expose();
        assert_eq!(text.len(), 4 + 32 + 1 + 43);
        assert_eq!(parse(TokenKind::ApiKey, text), Some((minted.id, minted.hash)));
        for wrong in ["", "bhk_", &text[1..], &text[..79], &format!("{text}A"), &text.to_uppercase(), "bhk_é"] {
            assert_eq!(parse(TokenKind::ApiKey, wrong), None, "{wrong:?}");
        }
        assert_eq!(parse(TokenKind::Link, text), None);
    }

    #[test]
    fn a_secret_does_not_show_itself() {
        let secret = Secret::new("canary".into());
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "[secret] [secret] Some([secret])");
    }
}
