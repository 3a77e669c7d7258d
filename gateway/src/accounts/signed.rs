//! Tokens that are not stored: what they say is signed with a key derived from the store's secret.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bellhop_engine::domain::{MemberId, Millis, TokenId, VisitorId, WorkspaceId};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::Secret;

/// A visitor's token is good for a year and renewed once half of it is over (see [`VisitorToken::wants_renewal`]).
pub(crate) const VISITOR_TOKEN_MS: i64 = 365 * 24 * 60 * 60 * 1000;

/// An agent's socket token is good for a minute: it is made for one connect and used at once.
pub(crate) const SOCKET_TOKEN_MS: i64 = 60_000;

/// One key a purpose, so that a token of one kind can never pass for another. Derived, so that nothing else is kept.
pub(crate) struct SigningKeys {
    visitor: [u8; 32],
    socket: [u8; 32],
    csrf: [u8; 32],
}

/// Why a token does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadToken {
    /// Not made by this server, or altered.
    Invalid,
    /// Made by this server, and over.
    Expired,
}

/// What a visitor's token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) struct VisitorToken {
    pub(crate) workspace: WorkspaceId,
    pub(crate) visitor: VisitorId,
    pub(crate) issued: Millis,
    pub(crate) expires: Millis,
}

impl VisitorToken {
    /// Whether less than half of its time is left.
    pub(crate) fn wants_renewal(&self, now: Millis) -> bool {
        self.expires.since(now) * 2 < self.expires.since(self.issued)
    }
}

/// What an agent's socket token rests on: it is worth nothing once that is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Root {
    Login(TokenId),
    Key(TokenId),
}

/// What an agent's socket token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) struct SocketToken {
    pub(crate) workspace: WorkspaceId,
    pub(crate) member: MemberId,
    pub(crate) root: Root,
    pub(crate) expires: Millis,
}

const VISITOR_PREFIX: &str = "bhv_";
const SOCKET_PREFIX: &str = "bhs_";

fn mac(key: &[u8; 32], bytes: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length (RFC 2104)");
    mac.update(bytes);
    mac
}

fn sign(key: &[u8; 32], prefix: &str, payload: &[u8]) -> Secret {
    let mut bytes = payload.to_vec();
    bytes.extend_from_slice(&mac(key, payload).finalize().into_bytes());
    Secret::new(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes)))
}

/// The payload of a well-signed token of exactly `LENGTH` bytes. The comparison is hmac's, in constant time.
fn open<const LENGTH: usize>(key: &[u8; 32], prefix: &str, text: &str) -> Result<[u8; LENGTH], BadToken> {
    let encoded = text.strip_prefix(prefix).filter(|rest| rest.len() < 256).ok_or(BadToken::Invalid)?;
    let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| BadToken::Invalid)?;
    let (payload, tag) = bytes.split_at_checked(LENGTH).ok_or(BadToken::Invalid)?;
    mac(key, payload).verify_slice(tag).map_err(|_| BadToken::Invalid)?;
    payload.try_into().map_err(|_| BadToken::Invalid)
}

fn id(bytes: &[u8], at: usize) -> u128 {
    let mut out = [0u8; 16];
    out.copy_from_slice(&bytes[at..at + 16]);
    u128::from_be_bytes(out)
}

fn time(bytes: &[u8], at: usize) -> Millis {
    let mut out = [0u8; 8];
    out.copy_from_slice(&bytes[at..at + 8]);
    Millis(i64::from_be_bytes(out))
}

impl SigningKeys {
    pub(super) fn derive(secret: [u8; 32]) -> Self {
        let key = |purpose: &[u8]| mac(&secret, purpose).finalize().into_bytes().into();
        Self {
            visitor: key(b"bellhop v1 visitor token"),
            socket: key(b"bellhop v1 socket token"),
            csrf: key(b"bellhop v1 csrf"),
        }
    }

    pub(crate) fn sign_visitor(&self, token: VisitorToken) -> Secret {
        let mut payload = [0u8; 48];
        payload[..16].copy_from_slice(&token.workspace.0.to_be_bytes());
        payload[16..32].copy_from_slice(&token.visitor.0.to_be_bytes());
        payload[32..40].copy_from_slice(&token.issued.0.to_be_bytes());
        payload[40..].copy_from_slice(&token.expires.0.to_be_bytes());
        sign(&self.visitor, VISITOR_PREFIX, &payload)
    }

    pub(crate) fn open_visitor(&self, text: &str, now: Millis) -> Result<VisitorToken, BadToken> {
        let payload: [u8; 48] = open(&self.visitor, VISITOR_PREFIX, text)?;
        let token = VisitorToken {
            workspace: WorkspaceId(id(&payload, 0)),
            visitor: VisitorId(id(&payload, 16)),
            issued: time(&payload, 32),
            expires: time(&payload, 40),
        };
        if token.expires.since(now) <= 0 { Err(BadToken::Expired) } else { Ok(token) }
    }

    pub(crate) fn sign_socket(&self, token: SocketToken) -> Secret {
        let (kind, root) = match token.root {
            Root::Login(id) => (1, id),
            Root::Key(id) => (2, id),
        };
        let mut payload = [0u8; 57];
        payload[..16].copy_from_slice(&token.workspace.0.to_be_bytes());
        payload[16..32].copy_from_slice(&token.member.0.to_be_bytes());
        payload[32] = kind;
        payload[33..49].copy_from_slice(&root.0.to_be_bytes());
        payload[49..].copy_from_slice(&token.expires.0.to_be_bytes());
        sign(&self.socket, SOCKET_PREFIX, &payload)
    }

    pub(crate) fn open_socket(&self, text: &str, now: Millis) -> Result<SocketToken, BadToken> {
        let payload: [u8; 57] = open(&self.socket, SOCKET_PREFIX, text)?;
        let root = match payload[32] {
            1 => Root::Login(TokenId(id(&payload, 33))),
            2 => Root::Key(TokenId(id(&payload, 33))),
            _ => return Err(BadToken::Invalid),
        };
        let token = SocketToken {
            workspace: WorkspaceId(id(&payload, 0)),
            member: MemberId(id(&payload, 16)),
            root,
            expires: time(&payload, 49),
        };
        if token.expires.since(now) <= 0 { Err(BadToken::Expired) } else { Ok(token) }
    }

    /// The CSRF token of a log-in session: follows from its id, so nothing more is stored.
    pub(super) fn csrf(&self, login: TokenId) -> String {
        URL_SAFE_NO_PAD.encode(mac(&self.csrf, &login.0.to_be_bytes()).finalize().into_bytes())
    }

    #[must_use]
    pub(super) fn csrf_holds(&self, login: TokenId, given: &str) -> bool {
        URL_SAFE_NO_PAD
            .decode(given)
            .is_ok_and(|tag| mac(&self.csrf, &login.0.to_be_bytes()).verify_slice(&tag).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visitor() -> VisitorToken {
        VisitorToken {
            workspace: WorkspaceId(7),
            visitor: VisitorId(u128::MAX - 3),
            issued: Millis(1_000),
            expires: Millis(1_000 + VISITOR_TOKEN_MS),
        }
    }

    #[test]
    fn a_visitor_token_with_any_byte_changed_is_invalid() {
        let keys = SigningKeys::derive([9; 32]);
        let text = keys.sign_visitor(visitor()).expose().to_owned();
        assert_eq!(keys.open_visitor(&text, Millis(2_000)), Ok(visitor()));
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(bytes).unwrap();
            assert_eq!(keys.open_visitor(&altered, Millis(2_000)), Err(BadToken::Invalid), "byte {at}");
        }
        assert_eq!(SigningKeys::derive([8; 32]).open_visitor(&text, Millis(2_000)), Err(BadToken::Invalid));
        assert_eq!(keys.open_visitor(&text, visitor().expires), Err(BadToken::Expired));
    }

    #[test]
    fn a_visitor_token_is_renewed_in_the_second_half_of_its_time() {
        assert!(!visitor().wants_renewal(Millis(1_000 + VISITOR_TOKEN_MS / 2)));
        assert!(visitor().wants_renewal(Millis(1_001 + VISITOR_TOKEN_MS / 2)));
    }

    #[test]
    fn a_socket_token_lasts_a_minute_and_is_no_visitor_token() {
        let keys = SigningKeys::derive([9; 32]);
        for root in [Root::Login(TokenId(5)), Root::Key(TokenId(6))] {
            let token = SocketToken { workspace: WorkspaceId(1), member: MemberId(2), root, expires: Millis(60_000) };
            let text = keys.sign_socket(token).expose().to_owned();
            assert_eq!(keys.open_socket(&text, Millis(59_999)), Ok(token));
            assert_eq!(keys.open_socket(&text, Millis(60_000)), Err(BadToken::Expired));
            assert_eq!(keys.open_visitor(&text, Millis(0)), Err(BadToken::Invalid));
            let swapped = text.replace("bhs_", "bhv_");
            assert_eq!(keys.open_visitor(&swapped, Millis(0)), Err(BadToken::Invalid));
        }
    }

    #[test]
    fn a_csrf_token_belongs_to_one_login() {
        let keys = SigningKeys::derive([9; 32]);
        let token = keys.csrf(TokenId(1));
        assert!(keys.csrf_holds(TokenId(1), &token));
        for (login, given) in [(TokenId(2), token.as_str()), (TokenId(1), ""), (TokenId(1), "AAAA")] {
            assert!(!keys.csrf_holds(login, given));
        }
    }
}
