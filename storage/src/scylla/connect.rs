//! The way to the database: a session of the driver, with the times that everything else rests on.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use scylla::client::PoolSize;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::errors::{DbError, NewSessionError};
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::policies::retry::DefaultRetryPolicy;
use scylla::policies::speculative_execution::SimpleSpeculativeExecutionPolicy;
use scylla::statement::{Consistency, SerialConsistency};

use super::ScyllaOpenError;
use super::options::{ScyllaConsistency, ScyllaOptions, ScyllaTls};

/// One attempt of a request, with the driver's own further tries on other nodes. A healthy database answers in
/// milliseconds; a garbage collection takes half a second; whoever waits longer is better told.
pub(super) const ATTEMPT: Duration = Duration::from_secs(1);

/// A replica that has not answered by then is asked no longer alone: the next one is, too. Ten times a slow answer, so
/// that a loaded database is not given twice the load; a fifth of an attempt, so that a node that hangs costs no more.
const SECOND_NODE_AFTER: Duration = Duration::from_millis(200);

/// A node that does not take a connection by then is taken as gone.
const CONNECTING: Duration = Duration::from_secs(1);

/// A silent connection is asked this often, and cut when it stays silent as long again: a node that hangs, or a network
/// that swallows, is noticed within two seconds by its own connections.
const KEEPALIVE: Duration = Duration::from_secs(1);

/// Connections a node of a database without shards (Cassandra); ScyllaDB gets one a shard. Each carries 32,768 requests
/// at once; two use two of the driver's tasks, and so both of a small machine's cores.
const CONNECTIONS: std::num::NonZeroUsize = std::num::NonZeroUsize::new(2).expect("two is not zero");

impl ScyllaConsistency {
    pub(super) fn of_reads_and_writes(self) -> Consistency {
        match self {
            Self::LocalQuorum => Consistency::LocalQuorum,
            Self::Quorum => Consistency::Quorum,
        }
    }

    pub(super) fn of_conditions(self) -> SerialConsistency {
        match self {
            Self::LocalQuorum => SerialConsistency::LocalSerial,
            Self::Quorum => SerialConsistency::Serial,
        }
    }

    pub(super) fn of_serial_reads(self) -> Consistency {
        match self {
            Self::LocalQuorum => Consistency::LocalSerial,
            Self::Quorum => Consistency::Serial,
        }
    }
}

/// Connects, and finds the other nodes.
pub(super) async fn connect(options: &ScyllaOptions) -> Result<Session, ScyllaOpenError> {
    let balancing = DefaultPolicy::builder()
        .prefer_datacenter(options.datacentre.clone())
        .token_aware(true)
        .permit_dc_failover(options.consistency == ScyllaConsistency::Quorum)
        .build();
    let profile = ExecutionProfile::builder()
        .consistency(options.consistency.of_reads_and_writes())
        .serial_consistency(Some(options.consistency.of_conditions()))
        .request_timeout(Some(ATTEMPT))
        .load_balancing_policy(balancing)
        .retry_policy(Arc::new(DefaultRetryPolicy::new()))
        .speculative_execution_policy(Some(Arc::new(SimpleSpeculativeExecutionPolicy {
            max_retry_count: 2,
            retry_interval: SECOND_NODE_AFTER,
        })))
        .build();
    let mut builder = SessionBuilder::new()
        .known_nodes(&options.contact_points)
        .default_execution_profile_handle(profile.into_handle())
        .connection_timeout(CONNECTING)
        .hostname_resolution_timeout(Some(CONNECTING))
        .keepalive_interval(KEEPALIVE)
        .keepalive_timeout(KEEPALIVE)
        .tcp_nodelay(true)
        .pool_size(PoolSize::PerHost(CONNECTIONS))
        .keyspaces_to_fetch([options.keyspace.as_str()])
        .schema_agreement_timeout(Duration::from_secs(30));
    if let Some(credentials) = &options.credentials {
        builder = builder.user(&credentials.username, &credentials.password);
    }
    if let Some(files) = &options.tls {
        builder = builder.tls_context(Some(tls(files)?));
    }
    let contact_points = || options.contact_points.join(", ");
    let session = builder.build().await.map_err(|error| {
        let reason = error.to_string();
        match refused(&error) {
            true => ScyllaOpenError::Refused { contact_points: contact_points(), reason },
            false => ScyllaOpenError::Unreachable { contact_points: contact_points(), reason },
        }
    })?;
    let state = session.get_cluster_state();
    let found: std::collections::BTreeSet<_> =
        state.get_nodes_info().iter().filter_map(|node| node.datacenter.clone()).collect();
    if !found.contains(&options.datacentre) {
        let found = found.into_iter().collect::<Vec<_>>().join(", ");
        return Err(ScyllaOpenError::Datacentre { datacentre: options.datacentre.clone(), found });
    }
    Ok(session)
}

/// Whether a node answered, and did not let us in. The driver wraps the node's words many times over.
fn refused(error: &NewSessionError) -> bool {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if matches!(error.downcast_ref::<DbError>(), Some(DbError::AuthenticationError | DbError::Unauthorized)) {
            return true;
        }
        source = error.source();
    }
    false
}

/// Trusts the named authorities alone. The nodes' addresses must stand in their certificates.
fn tls(files: &ScyllaTls) -> Result<Arc<rustls::ClientConfig>, ScyllaOpenError> {
    let wrong = |path: &Path, what: &'static str| {
        let path = path.to_owned();
        move |reason: String| ScyllaOpenError::Tls { path: path.clone(), what, reason }
    };
    let certificates = |path: &Path, what| -> Result<Vec<CertificateDer<'static>>, ScyllaOpenError> {
        let wrong = wrong(path, what);
        let found = CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?;
        let found: Vec<_> = found.collect::<Result<_, _>>().map_err(|error| wrong(error.to_string()))?;
        if found.is_empty() { Err(wrong("it holds no certificate".to_owned())) } else { Ok(found) }
    };
    let mut roots = rustls::RootCertStore::empty();
    for authority in certificates(&files.authorities, "authorities")? {
        roots.add(authority).map_err(|error| wrong(&files.authorities, "authorities")(error.to_string()))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&files.authorities, "authorities")(error.to_string()))?
        .with_root_certificates(roots);
    let config = match &files.certificate {
        None => config.with_no_client_auth(),
        Some(own) => {
            let chain = certificates(&own.chain, "a certificate")?;
            let wrong = wrong(&own.key, "a private key");
            let key = PrivateKeyDer::from_pem_file(&own.key).map_err(|error| wrong(error.to_string()))?;
            config.with_client_auth_cert(chain, key).map_err(|error| wrong(error.to_string()))?
        }
    };
    Ok(Arc::new(config))
}
