//! The store that the configuration chooses: opened, and waited for where that helps.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bellhop_engine::ports::Store;
use bellhop_storage::{
    CACHE_BYTES, Embedded, EmbeddedOptions, JOURNAL_BYTES, OpenError, Scylla, ScyllaCertificate, ScyllaConsistency,
    ScyllaCredentials, ScyllaOpenError, ScyllaOptions, ScyllaTls,
};

use crate::config::{self, Config, Consistency, StoreKind};

/// A cluster that does not answer is tried again after this long; the driver itself takes some seconds to give up.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Largest password file, bytes: nobody's password is longer, and a path to something else is found out.
const MAX_PASSWORD_BYTES: u64 = 4 * 1024;

/// Why the store was not opened; each a sentence with its remedy.
#[derive(Debug, thiserror::Error)]
pub enum OpenFailure {
    #[error("{0}.")]
    Embedded(#[from] OpenError),
    #[error("{0}.")]
    Scylla(#[from] ScyllaOpenError),
    #[error("{0}. It was tried for {waited:?} (scylla.start_wait).", waited = .1)]
    Away(ScyllaOpenError, Duration),
    #[error(
        "scylla.password_file {path} cannot be used ({reason}): let it hold the password on its first line, readable by this user."
    )]
    Password { path: String, reason: String },
    #[error(
        "{path} cannot be written ({reason}): give the user that runs bellhop the right to write there, or set data.dir."
    )]
    Folder { path: String, reason: String },
}

impl OpenFailure {
    /// Whether another process has the store open.
    pub fn is_in_use(&self) -> bool {
        matches!(self, Self::Embedded(OpenError::Locked { .. }) | Self::Scylla(ScyllaOpenError::InUse { .. }))
    }
}

/// The options of the embedded store. `lock_wait` is how long another process may take to let go of the directory.
pub fn store_options(lock_wait: Duration) -> EmbeddedOptions {
    EmbeddedOptions { cache_bytes: CACHE_BYTES, journal_bytes: JOURNAL_BYTES, lock_wait }
}

/// Opens what is configured. An embedded store is made if there is none; a cluster that does not answer is waited for
/// up to `scylla.start_wait`.
pub async fn open(config: &Config, lock_wait: Duration) -> Result<Arc<dyn Store>, OpenFailure> {
    match config.store {
        StoreKind::Embedded => Ok(Arc::new(Embedded::open(&config.data.dir, store_options(lock_wait))?)),
        StoreKind::Scylla => Ok(Arc::new(open_scylla(config).await?)),
    }
}

async fn open_scylla(config: &Config) -> Result<Scylla, OpenFailure> {
    let options = scylla_options(&config.scylla)?;
    if Embedded::exists(&config.data.dir) {
        let directory = config.data.dir.display();
        tracing::warn!(
            %directory,
            "data.dir holds an embedded store, and store is \"scylla\": what lies there is not served"
        );
    }
    make_private(&config.data.dir)?;
    waiting(&config.scylla, || Scylla::open(options.clone())).await
}

/// Makes the keyspace and its tables, or upgrades them; waits for the cluster as [`open`] does.
pub async fn migrate_scylla(scylla: &config::Scylla) -> Result<(), OpenFailure> {
    let options = scylla_options(scylla)?;
    waiting(scylla, || Scylla::migrate(&options)).await
}

async fn waiting<T, F: Future<Output = Result<T, ScyllaOpenError>>>(
    scylla: &config::Scylla,
    attempt: impl Fn() -> F,
) -> Result<T, OpenFailure> {
    let begun = Instant::now();
    loop {
        let away = match attempt().await {
            Ok(done) => return Ok(done),
            Err(error @ ScyllaOpenError::Unreachable { .. }) => error,
            Err(error) => return Err(error.into()),
        };
        let waited = begun.elapsed();
        if waited + TRY_AGAIN >= scylla.start_wait {
            return Err(OpenFailure::Away(away, Duration::from_secs(waited.as_secs())));
        }
        let more = (scylla.start_wait - waited).as_secs();
        tracing::warn!(error = %away, "the database does not answer; it is tried again for {more} s more");
        tokio::time::sleep(TRY_AGAIN).await;
    }
}

/// The folder of the admin port's files, where no embedded store makes it. Nobody else may look into it: a token lies there.
fn make_private(folder: &Path) -> Result<(), OpenFailure> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| OpenFailure::Folder { path: folder.display().to_string(), reason: error.to_string() })
}

/// The store's settings out of the configuration. Reads the password file.
fn scylla_options(scylla: &config::Scylla) -> Result<ScyllaOptions, OpenFailure> {
    let points = scylla.contact_points.iter().map(|it| it.0.clone()).collect();
    let mut options = ScyllaOptions::new(points, scylla.datacentre.0.clone(), scylla.keyspace.0.clone());
    // At most 9, by the key's bounds.
    options.replication = u16::try_from(scylla.replication).unwrap_or(u16::MAX);
    options.migrate = scylla.migrate;
    options.consistency = match scylla.consistency {
        Consistency::LocalQuorum => ScyllaConsistency::LocalQuorum,
        Consistency::Quorum => ScyllaConsistency::Quorum,
    };
    if !scylla.username.0.is_empty() {
        let password = match &scylla.password_file.0 {
            Some(path) => password_of(path)?,
            None => scylla.password.expose().to_owned(),
        };
        options.credentials = Some(ScyllaCredentials { username: scylla.username.0.clone(), password });
    }
    options.tls = scylla.tls_ca_file.0.clone().map(|authorities| ScyllaTls {
        authorities,
        certificate: scylla
            .tls_cert_file
            .0
            .clone()
            .zip(scylla.tls_key_file.0.clone())
            .map(|(chain, key)| ScyllaCertificate { chain, key }),
    });
    Ok(options)
}

/// The first line of a file.
fn password_of(path: &Path) -> Result<String, OpenFailure> {
    use std::io::Read as _;
    let refused = |reason: String| OpenFailure::Password { path: path.display().to_string(), reason };
    let file = std::fs::File::open(path).map_err(|error| refused(error.to_string()))?;
    let mut text = String::new();
    file.take(MAX_PASSWORD_BYTES).read_to_string(&mut text).map_err(|error| refused(error.to_string()))?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(refused("its first line is empty".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scylla(more: &[(&str, &str)]) -> Config {
        let mut environment = vec![
            ("BELLHOP_STORE".to_owned(), "scylla".to_owned()),
            ("BELLHOP_SCYLLA__CONTACT_POINTS".to_owned(), "[\"db1\", \"10.0.0.7:1\"]".to_owned()),
        ];
        environment.extend(more.iter().map(|(name, value)| (format!("BELLHOP_SCYLLA__{name}"), (*value).to_owned())));
        config::load(None, environment.into_iter(), &Vec::new()).unwrap()
    }

    #[test]
    fn the_configuration_becomes_the_stores_settings_and_the_password_the_files_first_line() {
        let file = std::env::temp_dir().join(format!("bellhop-password-{}", std::process::id()));
        std::fs::write(&file, "correct horse\r\nnot this\n").unwrap();
        let path = file.display().to_string();
        let config =
            scylla(&[("USERNAME", "bellhop"), ("PASSWORD_FILE", &path), ("REPLICATION", "1"), ("TLS_CA_FILE", "/ca")]);
        let options = scylla_options(&config.scylla).unwrap();
        assert_eq!(options.contact_points, ["db1:9042", "10.0.0.7:1"]);
        assert_eq!((options.datacentre.as_str(), options.keyspace.as_str()), ("datacenter1", "bellhop"));
        assert_eq!((options.replication, options.migrate), (1, false));
        assert_eq!(options.credentials.clone().unwrap().password, "correct horse");
        assert_eq!(options.tls.clone().unwrap().certificate, None);
        assert!(!format!("{options:?} {config:?}").contains("correct horse"));
        std::fs::write(&file, "\n").unwrap();
        let error = scylla_options(&config.scylla).unwrap_err().to_string();
        assert!(error.contains(&path) && error.contains("its first line is empty"), "{error}");
        std::fs::remove_file(&file).unwrap();
        assert!(scylla_options(&config.scylla).unwrap_err().to_string().contains(&path));
    }
}
