//! Answers: JSON bodies, and one shape for every error.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bellhop_engine::ports::StoreError;
use bellhop_protocol::Id;
use serde::Serialize;
use utoipa::ToSchema;

use crate::accounts::Problem;

/// The body of every answer that is not a success.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    pub(crate) error: ErrorDetail,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorDetail {
    /// Stable, for programs.
    pub(crate) code: &'static str,
    /// A sentence for a person.
    pub(crate) message: String,
    /// The field at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) field: Option<String>,
    /// With `choose_workspace`: where the person is a member.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) workspaces: Option<Vec<Choice>>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Choice {
    pub(crate) id: Id,
    pub(crate) name: String,
}

/// An error on its way out.
#[derive(Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    body: Box<ErrorDetail>,
    retry_after_secs: Option<u64>,
}

impl Failure {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        let body = Box::new(ErrorDetail { code, message: message.into(), field: None, workspaces: None });
        Self { status, body, retry_after_secs: None }
    }

    pub(crate) fn field(mut self, field: impl Into<String>) -> Self {
        self.body.field = Some(field.into());
        self
    }

    fn retry_after(mut self, secs: u64) -> Self {
        self.retry_after_secs = Some(secs);
        self
    }

    pub(crate) fn not_found() -> Self {
        Problem::NotFound.into()
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let (status, code) = match &problem {
            Problem::NotLoggedIn => (StatusCode::UNAUTHORIZED, "not_logged_in"),
            Problem::KeyInvalid => (StatusCode::UNAUTHORIZED, "key_invalid"),
            Problem::LoginFailed => (StatusCode::UNAUTHORIZED, "login_failed"),
            Problem::ChooseWorkspace(_) => (StatusCode::CONFLICT, "choose_workspace"),
            Problem::LinkDead => (StatusCode::GONE, "link_dead"),
            Problem::LastOwner => (StatusCode::CONFLICT, "last_owner"),
            Problem::MemberExists => (StatusCode::CONFLICT, "member_exists"),
            Problem::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Problem::OwnerOnly => (StatusCode::FORBIDDEN, "owner_only"),
            Problem::KeyOnly => (StatusCode::FORBIDDEN, "key_only"),
            Problem::PersonOnly => (StatusCode::FORBIDDEN, "person_only"),
            Problem::Csrf => (StatusCode::FORBIDDEN, "csrf"),
            Problem::Origin => (StatusCode::FORBIDDEN, "origin"),
            Problem::BadField { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "bad_field"),
            Problem::TooMany { .. } => (StatusCode::TOO_MANY_REQUESTS, "too_many"),
            Problem::Overloaded { .. } => (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
            Problem::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Problem::Store(StoreError::Unknown(_)) => (StatusCode::SERVICE_UNAVAILABLE, "unknown"),
            Problem::Store(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        };
        if let Problem::Store(error) = &problem {
            tracing::error!(%error, "the store failed a request");
        }
        let message = match &problem {
            // The store's own words are for the log, not for the world.
            Problem::Store(StoreError::Unknown(_)) => {
                "It is not known whether this was done. Look, then try again.".into()
            }
            Problem::Store(_) => "The store cannot be reached. Nothing was changed; try again.".into(),
            other => other.to_string(),
        };
        let mut failure = Self::new(status, code, message);
        match problem {
            Problem::TooMany { retry_after_secs } | Problem::Overloaded { retry_after_secs } => {
                failure.retry_after(retry_after_secs)
            }
            Problem::Busy | Problem::Store(_) => failure.retry_after(1),
            Problem::BadField { field, .. } => failure.field(field),
            Problem::ChooseWorkspace(places) => {
                let choice = |(id, name): (bellhop_engine::domain::WorkspaceId, String)| Choice { id: Id(id.0), name };
                failure.body.workspaces = Some(places.into_iter().map(choice).collect());
                failure
            }
            _ => failure,
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Problem::Store(error).into()
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(ErrorBody { error: *self.body })).into_response();
        if let Some(secs) = self.retry_after_secs {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        response
    }
}

/// What a handler returns.
pub(crate) type Answer<T> = Result<T, Failure>;
