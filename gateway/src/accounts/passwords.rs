//! Passwords: argon2id, off the event loop, two at a time.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use tokio::sync::Semaphore;

use super::{Problem, Secret, secret};

/// Memory of one hash, KiB: OWASP's Password Storage Cheat Sheet (2025), argon2id with 19 MiB, 2 passes, 1 lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Hashes at once: each takes 19 MiB and a core for about 20 ms; two leave the other cores to conversations.
const AT_ONCE: usize = 2;

/// Hashes waiting for a slot before further ones are refused: 64 × 20 ms / 2 is under a second of waiting.
const WAITING: usize = 64;

/// Hashes and checks passwords.
pub(super) struct Passwords {
    slots: Arc<Semaphore>,
    queue: Arc<Semaphore>,
    /// What a password is checked against when there is nobody: an unknown e-mail takes as long as a wrong password.
    nobody: String,
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("19 MiB, 2 and 1 lie within argon2's bounds");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hash(password: &str) -> String {
    let salt = secret::random_bytes();
    argon2()
        .hash_password_with_salt(password.as_bytes(), &salt[..16])
        .expect("a 16-byte salt and a password of at most 800 bytes lie within argon2's bounds")
        .to_string()
}

fn verify(password: &str, phc: &str) -> bool {
    PasswordHash::new(phc).is_ok_and(|parsed| argon2().verify_password(password.as_bytes(), &parsed).is_ok())
}

impl Passwords {
    pub(super) fn new() -> Self {
        Self {
            slots: Arc::new(Semaphore::new(AT_ONCE)),
            queue: Arc::new(Semaphore::new(WAITING)),
            nobody: hash("nobody has this password"),
        }
    }

    /// The PHC string of a password.
    pub(super) async fn hash(&self, password: Secret) -> Result<String, Problem> {
        self.run(move || hash(password.expose())).await
    }

    /// Whether the password is the one that was hashed; false, after the same time, when there is none.
    pub(super) async fn verify(&self, password: Secret, phc: Option<String>) -> Result<bool, Problem> {
        let known = phc.is_some();
        let phc = phc.unwrap_or_else(|| self.nobody.clone());
        Ok(self.run(move || verify(password.expose(), &phc)).await? && known)
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
        let Ok(_place) = Arc::clone(&self.queue).try_acquire_owned() else {
            return Err(Problem::Overloaded { retry_after_secs: 1 });
        };
        let Ok(_slot) = Arc::clone(&self.slots).acquire_owned().await else {
            return Err(Problem::Overloaded { retry_after_secs: 1 });
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| Problem::Overloaded { retry_after_secs: 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_kept_as_argon2id_with_the_stated_parameters() {
        let passwords = Passwords::new();
        let phc = passwords.hash(Secret::new("correct horse".into())).await.unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        assert!(passwords.verify(Secret::new("correct horse".into()), Some(phc.clone())).await.unwrap());
        assert!(!passwords.verify(Secret::new("correct horsf".into()), Some(phc)).await.unwrap());
        assert!(!passwords.verify(Secret::new("nobody has this password".into()), None).await.unwrap());
    }
}
