//! Asking the database: what is repeated and for how long, and what an error means.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bellhop_engine::ports::StoreError;
use parking_lot::RwLock;
use scylla::client::session::Session;
use scylla::deserialize::row::DeserializeRow;
use scylla::errors::ExecutionError;
use scylla::response::{PagingState, PagingStateResponse};
use scylla::serialize::row::SerializeRow;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;
use scylla::value::{CqlValue, Row};

use super::statements::Statements;

/// How long a read or a repeatable write is tried: three attempts of the longest kind. The engine's callers wait for it,
/// and a person takes longer for a fault.
pub(super) const TRYING: Duration = Duration::from_secs(3);

/// Between two tries: long enough for a broken connection to be replaced.
const PAUSE: Duration = Duration::from_millis(50);

/// The session of the moment, and what is asked through it.
///
/// The driver waits up to 10 s (its pool's longest back-off, not to be set without an unstable flag) before it tries a
/// node again that was away. A session made anew tries at once, so that is what follows an outage; prepared statements
/// are the same for every session.
pub(super) struct Database {
    session: RwLock<Arc<Session>>,
    pub(super) statements: Statements,
}

impl Database {
    pub(super) fn new(session: Session, statements: Statements) -> Self {
        Self { session: RwLock::new(Arc::new(session)), statements }
    }

    pub(super) fn session(&self) -> Arc<Session> {
        Arc::clone(&self.session.read())
    }

    /// From now on, through this one.
    pub(super) fn replace(&self, session: Session) {
        *self.session.write() = Arc::new(session);
    }

    /// At most `most` rows, page by page; tried again for [`TRYING`].
    pub(super) async fn rows<R>(
        &self,
        statement: &PreparedStatement,
        values: &(impl SerializeRow + Sync),
        most: usize,
    ) -> Result<Vec<R>, StoreError>
    where
        R: for<'frame, 'metadata> DeserializeRow<'frame, 'metadata>,
    {
        let until = Instant::now() + TRYING;
        loop {
            match self.pages(statement, values, most).await {
                Err(error) if Instant::now() + PAUSE < until && passes(&error) => tokio::time::sleep(PAUSE).await,
                Err(Failure::Asking(error)) => return Err(StoreError::Unavailable(said(&error))),
                Err(Failure::Reading(why)) => return Err(StoreError::Damaged(why)),
                Ok(rows) => return Ok(rows),
            }
        }
    }

    /// One row or none.
    pub(super) async fn row<R>(
        &self,
        statement: &PreparedStatement,
        values: &(impl SerializeRow + Sync),
    ) -> Result<Option<R>, StoreError>
    where
        R: for<'frame, 'metadata> DeserializeRow<'frame, 'metadata>,
    {
        Ok(self.rows(statement, values, 1).await?.pop())
    }

    async fn pages<R>(
        &self,
        statement: &PreparedStatement,
        values: &(impl SerializeRow + Sync),
        most: usize,
    ) -> Result<Vec<R>, Failure>
    where
        R: for<'frame, 'metadata> DeserializeRow<'frame, 'metadata>,
    {
        let session = self.session();
        let (mut rows, mut state) = (Vec::new(), PagingState::start());
        loop {
            let (page, next) = session
                .execute_single_page(statement, values, state)
                .await
                .map_err(|error| Failure::Asking(Box::new(error)))?;
            let page = page.into_rows_result().map_err(|error| Failure::Reading(error.to_string()))?;
            for row in page.rows::<R>().map_err(|error| Failure::Reading(error.to_string()))? {
                rows.push(row.map_err(|error| Failure::Reading(error.to_string()))?);
                if rows.len() >= most {
                    return Ok(rows);
                }
            }
            match next {
                PagingStateResponse::HasMorePages { state: next } => state = next,
                PagingStateResponse::NoMorePages => return Ok(rows),
            }
        }
    }

    /// A write that may be repeated, until it is known to be done or [`TRYING`] is over: then it may be.
    pub(super) async fn write(
        &self,
        statement: &PreparedStatement,
        values: &(impl SerializeRow + Sync),
    ) -> Result<(), StoreError> {
        let until = Instant::now() + TRYING;
        loop {
            match self.session().execute_unpaged(statement, values).await {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() + PAUSE < until && passes_by_itself(&error) => {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(StoreError::Unknown(said(&error))),
            }
        }
    }

    /// One attempt of a write of one partition, all or nothing.
    pub(super) async fn batch(&self, writes: &[(&PreparedStatement, Vec<CqlValue>)]) -> Result<(), StoreError> {
        let unknown = |error: ExecutionError| StoreError::Unknown(said(&error));
        if let [(statement, values)] = writes {
            return self.session().execute_unpaged(statement, values).await.map(drop).map_err(unknown);
        }
        let mut batch = Batch::new(BatchType::Unlogged);
        batch.set_is_idempotent(true);
        for (statement, _) in writes {
            batch.append_statement((*statement).clone());
        }
        let values: Vec<&Vec<CqlValue>> = writes.iter().map(|(_, values)| values).collect();
        self.session().batch(&batch, values).await.map(drop).map_err(unknown)
    }

    /// One attempt of a conditional write: whether it was applied. An error leaves that open.
    pub(super) async fn applied(
        &self,
        statement: &PreparedStatement,
        values: &(impl SerializeRow + Sync),
    ) -> Result<bool, StoreError> {
        let unknown = |why: String| StoreError::Unknown(why);
        let answer = self.session().execute_unpaged(statement, values).await.map_err(|error| unknown(said(&error)))?;
        let rows = answer.into_rows_result().map_err(|error| unknown(error.to_string()))?;
        // Cassandra adds the row only when nothing was applied, ScyllaDB always: the first column says it in both.
        let row = rows.first_row::<Row>().map_err(|error| unknown(error.to_string()))?;
        match row.columns.first() {
            Some(Some(CqlValue::Boolean(applied))) => Ok(*applied),
            other => Err(unknown(format!("a condition was answered with {other:?}"))),
        }
    }
}

enum Failure {
    Asking(Box<ExecutionError>),
    Reading(String),
}

fn passes(failure: &Failure) -> bool {
    matches!(failure, Failure::Asking(error) if passes_by_itself(error))
}

/// Whether another try may succeed. A statement that the database does not understand never will.
fn passes_by_itself(error: &ExecutionError) -> bool {
    !matches!(error, ExecutionError::BadQuery(_))
}

/// The driver's sentence, on one line and of bounded length: it goes into logs and answers.
pub(super) fn said(error: &ExecutionError) -> String {
    error.to_string().chars().map(|it| if it.is_control() { ' ' } else { it }).take(300).collect()
}
