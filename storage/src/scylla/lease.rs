//! Who owns the keyspace: one row, changed by LWT only.
//!
//! The owner renews the row ten times in a lease; a renewal counts from the moment it was sent, and only if it is known
//! to have succeeded. Who wants to take over watches the row: if it changes, its owner lives, and the taker is refused;
//! if it stood still for a whole lease (and a twentieth, for clocks of different speed) on the taker's own clock, no
//! renewal can count any more, and one LWT on what was seen ends the old lease and raises the epoch. Should a renewal
//! come in between, that LWT changes nothing. A closing owner leaves the row without an owner, so that the next start
//! need not wait.
//!
//! The renewals double as the probe that says whether the database answers: one that takes longer than a quarter of the
//! lease (0.75 s) turns the store unhealthy, and the first that succeeds turns it healthy again. While the database
//! is away the lease may run out; if nobody took it meanwhile, renewing makes all well.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bellhop_engine::domain::Epoch;
use bellhop_engine::ports::StoreError;
use tokio::sync::Notify;

use super::clock::Tick;
use super::connect::connect;
use super::database::Database;
use super::options::ScyllaOptions;
use super::stamps::{self, Stamps};
use super::standing::Standing;
use super::{ScyllaOpenError, metrics};

/// Renewals in a lease: so many in a row may fail that a restarting database node costs nothing.
const RENEWALS: u32 = 10;

/// The part of a lease that one may take. A garbage collection of half a second passes unnoticed; a database that hangs
/// is noticed within 1.05 s of a lease of 3 s, and three more tries lie before its end.
const PATIENCE: u32 = 4;

/// How often an outage's database is connected to anew. A connection that is refused costs nothing; one that hangs ends
/// after a second.
const RECONNECTING: Duration = Duration::from_secs(1);

/// How long `open` tries to take a lease that is free, when others take it first or answers are lost.
const TAKING: Duration = Duration::from_secs(30);

/// The row, as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    identity: Vec<u8>,
    holder: String,
    since: i64,
    renewal: i64,
    epoch: i64,
    stamp: i64,
}

type SeenColumns = (Vec<u8>, String, i64, i64, i64, i64);

async fn look(database: &Database) -> Result<Option<Seen>, StoreError> {
    let row = database.row::<SeenColumns>(&database.statements.lease, &()).await?;
    Ok(row.map(|(identity, holder, since, renewal, epoch, stamp)| Seen {
        identity,
        holder,
        since,
        renewal,
        epoch,
        stamp,
    }))
}

/// Ownership of a keyspace under one epoch.
pub(super) struct Lease {
    identity: Vec<u8>,
    epoch: i64,
    stamps: Stamps,
    length: Duration,
}

/// Takes the keyspace's next epoch, after waiting for a dead owner's lease; also until when it counts.
pub(super) async fn take(database: &Database, options: &ScyllaOptions) -> Result<(Lease, Tick), ScyllaOpenError> {
    let identity = super::schema::random::<16>(options)?.to_vec();
    let failed = |error: StoreError| ScyllaOpenError::Unreachable {
        contact_points: options.contact_points.join(", "),
        reason: error.to_string(),
    };
    let missing =
        || ScyllaOpenError::Damaged { keyspace: options.keyspace.clone(), reason: "it has no lease row".to_owned() };
    let until = Instant::now() + TAKING;
    loop {
        let seen = look(database).await.map_err(failed)?.ok_or_else(missing)?;
        let stood_from = Tick::now();
        if !seen.identity.is_empty() {
            watch(database, options, &seen, stood_from, failed).await?;
        }
        let (first, bound) = stamps::begin(seen.stamp);
        let (renewal, epoch) = (seen.renewal + 1, seen.epoch + 1);
        let since = first / 1_000;
        let sent = Tick::now();
        let values = (&identity, &options.holder, since, renewal, epoch, bound, seen.renewal, seen.epoch);
        let taken = match database.applied(&database.statements.take_lease, &values).await {
            Ok(taken) => taken,
            // Unknown: the serial read decides it.
            Err(error) => {
                tracing::warn!(%error, "taking the lease got no answer; it is read back");
                look(database).await.map_err(failed)?.ok_or_else(missing)?.identity == identity
            }
        };
        if taken {
            let lease = Lease { identity, epoch, stamps: Stamps::new(first, bound), length: options.lease };
            return Ok((lease, sent.plus(options.lease)));
        }
        if Instant::now() > until {
            return Err(failed(StoreError::Unavailable("the lease could not be taken".to_owned())));
        }
    }
}

/// Returns when the row stood still for a whole lease; refuses when it changes.
async fn watch(
    database: &Database,
    options: &ScyllaOptions,
    seen: &Seen,
    stood_from: Tick,
    failed: impl Fn(StoreError) -> ScyllaOpenError,
) -> Result<(), ScyllaOpenError> {
    tracing::info!(holder = seen.holder, "waiting for the lease of the last server to run out");
    while Tick::now().since(stood_from) <= options.lease + options.lease / 20 {
        tokio::time::sleep(options.lease / RENEWALS).await;
        let now = look(database).await.map_err(&failed)?;
        if now.as_ref() == Some(seen) {
            continue;
        }
        return match now {
            // Given up meanwhile: free.
            Some(now) if now.identity.is_empty() => Ok(()),
            now => {
                let now = now.as_ref().unwrap_or(seen);
                Err(ScyllaOpenError::InUse {
                    keyspace: options.keyspace.clone(),
                    holder: now.holder.clone(),
                    since: utc(now.since),
                })
            }
        };
    }
    Ok(())
}

/// How a renewal ended.
enum Renewal {
    Done,
    Lost(String),
}

impl Lease {
    pub(super) fn epoch(&self) -> Epoch {
        Epoch(self.epoch.unsigned_abs())
    }

    pub(super) fn stamps(&self) -> &Stamps {
        &self.stamps
    }

    async fn renew(&self, database: &Database, renewal: i64) -> Result<Renewal, StoreError> {
        let bound = self.stamps.ahead();
        let values = (renewal, bound, &self.identity, self.epoch, renewal);
        if database.applied(&database.statements.renew_lease, &values).await? {
            self.stamps.reserved(bound);
            return Ok(Renewal::Done);
        }
        // Another one's, or this very renewal sent twice by the driver.
        match look(database).await? {
            Some(now) if now.identity == self.identity && now.epoch == self.epoch && now.renewal >= renewal => {
                self.stamps.reserved(now.stamp);
                Ok(Renewal::Done)
            }
            Some(now) if now.identity == self.identity && now.epoch == self.epoch => {
                Err(StoreError::Unavailable("a renewal was not written".to_owned()))
            }
            Some(now) => Ok(Renewal::Lost(format!(
                "another server owns the keyspace now ({}, since {} UTC): this one must stop",
                if now.holder.is_empty() { "closed already" } else { &now.holder },
                utc(now.since)
            ))),
            None => Ok(Renewal::Lost("the keyspace's lease is gone: this server must stop".to_owned())),
        }
    }

    /// Gives the keyspace up, so that the next server need not wait.
    pub(super) async fn release(&self, database: &Database, renewal: i64) -> Result<(), StoreError> {
        let values = (renewal, self.stamps.used(), &self.identity, self.epoch, renewal);
        database.applied(&database.statements.release_lease, &values).await.map(drop)
    }
}

/// Renews until told to stop; the number of the next renewal.
pub(super) async fn keep(
    lease: Arc<Lease>,
    database: Arc<Database>,
    standing: Arc<Standing>,
    options: ScyllaOptions,
    stop: Arc<Notify>,
) -> i64 {
    let (interval, patience) = (lease.length / RENEWALS, lease.length / PATIENCE);
    // Above what taking wrote, whatever that was: numbers of one epoch begin anew far above those of the last.
    let mut renewal = lease.epoch << 40;
    let mut connected = Instant::now();
    loop {
        renewal += 1;
        let sent = Tick::now();
        let renewed = tokio::select! {
            () = stop.notified() => return renewal,
            renewed = tokio::time::timeout(patience, lease.renew(&database, renewal)) => renewed,
        };
        metrics::renewed(sent);
        match renewed {
            Ok(Ok(Renewal::Done)) => {
                standing.renewed(sent.plus(lease.length));
                connected = Instant::now();
            }
            Ok(Ok(Renewal::Lost(why))) => {
                standing.fence(why);
                stop.notified().await;
                return renewal;
            }
            failed => {
                standing.unanswered(&match failed {
                    Ok(Err(error)) => error.to_string(),
                    _ => format!("a renewal took more than {} ms", patience.as_millis()),
                });
                if connected.elapsed() > RECONNECTING {
                    let session = tokio::select! {
                        () = stop.notified() => return renewal,
                        session = tokio::time::timeout(RECONNECTING * 2, connect(&options)) => session,
                    };
                    match session {
                        Ok(Ok(session)) => database.replace(session),
                        Ok(Err(error)) => tracing::debug!(%error, "the database is still away"),
                        Err(_) => tracing::debug!("the database is still away"),
                    }
                    connected = Instant::now();
                }
            }
        }
        metrics::healthy(standing.healthy());
        tokio::select! {
            () = stop.notified() => return renewal + 1,
            () = tokio::time::sleep(interval.saturating_sub(Tick::now().since(sent))) => {}
        }
    }
}

/// Milliseconds since 1970 as `2026-11-22 22:25:00`, by the civil calendar (Hinnant, "chrono-compatible low-level date
/// algorithms").
fn utc(millis: i64) -> String {
    let seconds = millis.div_euclid(1_000);
    let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", of_day / 3_600, of_day / 60 % 60, of_day % 60)
}

#[cfg(test)]
mod tests {
    use super::utc;

    #[test]
    fn times_are_shown_as_people_read_them() {
        for (millis, shown) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_400_000, "2000-02-29 00:00:00"),
            (1_795_386_300_999, "2026-11-22 22:25:00"),
            (4_107_542_399_000, "2100-02-28 23:59:59"),
            (-1, "1969-12-31 23:59:59"),
        ] {
            assert_eq!(utc(millis), shown);
        }
    }
}
