//! The one shape of every refusal.

use std::io::ErrorKind;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use foldin_engine::store::StoreError;
use foldin_engine::{EngineError, TrainError, VersionError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::work::request_id;

/// What a refused request is answered with, under `error`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// What went wrong, for programs: one of the codes in the documentation.
    pub code: String,
    /// The same for people, with a way on.
    pub message: String,
    /// The field of the request that is wrong, if one is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub field: Option<String>,
    /// The request's number, which is in the log too.
    pub request_id: String,
}

/// The body of every refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Refusal {
    /// What went wrong.
    pub error: Problem,
}

/// A request that is refused. The request's number is filled in on the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// Status of the answer.
    pub status: StatusCode,
    /// What went wrong, for programs.
    pub code: &'static str,
    /// For people.
    pub message: String,
    /// Which field.
    pub field: Option<String>,
    /// Seconds after which to try again.
    pub retry_after: Option<u32>,
}

/// Every code with its status and what it means, as the documentation shows them.
pub const CODES: &[(&str, u16, &str)] = &[
    ("bad_request", 400, "The request cannot be understood; `field` says where."),
    ("bad_body", 400, "The body is not the JSON that is expected; `field` says where."),
    (
        "bad_event",
        400,
        "An event cannot be kept; nothing of the call was written, but for lines before it in a bulk, which the message counts.",
    ),
    ("unauthorised", 401, "No API key, or one that is not known."),
    ("forbidden", 403, "The key's role does not allow this."),
    ("not_found", 404, "There is nothing at this address."),
    ("unknown_item", 404, "The model does not know the item."),
    ("unknown_user", 404, "Nothing is known of the user."),
    ("unknown_version", 404, "There is no such version of the model."),
    ("method_not_allowed", 405, "The address takes other methods."),
    ("conflict", 409, "The request does not go with what is there or under way."),
    ("too_large", 413, "The body is larger than the limit."),
    ("wrong_type", 415, "The body is of a type that is not taken here."),
    ("unsupported", 422, "The model does not offer this."),
    ("rate_limited", 429, "Too many requests of this client; `Retry-After` says when to go on."),
    ("internal", 500, "A fault of the server; the log has it under the request's number."),
    ("storage", 500, "The store could not read or write; reading may go on."),
    ("overloaded", 503, "Too much to do at once; `Retry-After` says when to try again."),
    ("timeout", 503, "The request took longer than the limit."),
    ("storage_full", 507, "The disk is full: nothing can be written, reading goes on."),
];

impl ApiError {
    /// A refusal by code.
    ///
    /// # Panics
    /// If [`CODES`] lacks the code, which a test excludes.
    #[must_use]
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        let status = CODES.iter().find(|(known, ..)| *known == code).map_or(500, |(_, status, _)| *status);
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = matches!(code, "overloaded" | "rate_limited" | "timeout").then_some(1);
        Self { status, code, message: message.into(), field: None, retry_after }
    }

    /// The same, naming a field.
    #[must_use]
    pub fn with_field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// The body, for a request of this number.
    #[must_use]
    pub fn refusal(&self, request_id: &str) -> Refusal {
        Refusal {
            error: Problem {
                code: self.code.to_owned(),
                message: self.message.clone(),
                field: self.field.clone(),
                request_id: request_id.to_owned(),
            },
        }
    }

    /// The whole answer, for a request of this number.
    pub(crate) fn respond(&self, request_id: &str) -> Response {
        let mut response = (self.status, Json(self.refusal(request_id))).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl IntoResponse for ApiError {
    /// Leaves itself in the answer's extensions, from where the outermost layer writes the body with the request's number.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        let message = error.to_string();
        match error {
            EngineError::Store(error) => error.into(),
            EngineError::UnknownItem { .. } => Self::new("unknown_item", message).with_field("item"),
            EngineError::OutOfScale { .. } | EngineError::ValueMissing { .. } => {
                Self::new("bad_event", message).with_field("value")
            }
            EngineError::UnknownKind { .. } => Self::new("bad_event", message).with_field("kind"),
            EngineError::Repeated { .. } => Self::new("bad_request", message).with_field("history"),
            EngineError::OutOfRange { field, .. } => Self::new("bad_request", message).with_field(field),
            EngineError::Unsupported { .. } | EngineError::CannotServe { .. } => {
                Self::new("unsupported", message)
            }
            EngineError::Score(_) => Self::new("bad_request", message),
            EngineError::Load(_) => Self::unusable(&message),
            _ => Self::internal(&message),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        match error {
            StoreError::Full { .. } => {
                Self::new("storage_full", "the disk is full: this was not written, and reading goes on")
            }
            StoreError::Busy { .. } => Self::new("overloaded", message),
            StoreError::Closed => Self::new("overloaded", "the server is stopping"),
            StoreError::Invalid(invalid) => Self::new("bad_event", message).with_field(invalid.field),
            // Paths are nobody's business outside.
            _ => {
                tracing::error!(request_id = %request_id(), %message, "store");
                Self::new("storage", "the store could not read or write; the log says why")
            }
        }
    }
}

impl From<VersionError> for ApiError {
    fn from(error: VersionError) -> Self {
        let message = error.to_string();
        match error {
            VersionError::Unknown { .. } => Self::new("unknown_version", message),
            VersionError::NothingBefore | VersionError::Serves { .. } => Self::new("conflict", message),
            VersionError::Io { source, .. } if source.kind() == ErrorKind::StorageFull => {
                Self::new("storage_full", "the disk is full: this was not written, and reading goes on")
            }
            VersionError::Load(_) => Self::unusable(&message),
            VersionError::Engine(error) => (*error).into(),
            _ => Self::internal(&message),
        }
    }
}

impl From<TrainError> for ApiError {
    fn from(error: TrainError) -> Self {
        let message = error.to_string();
        match error {
            TrainError::Option { field, .. } => Self::new("bad_request", message).with_field(field),
            TrainError::Model(_) => Self::new("bad_request", message).with_field("model"),
            TrainError::Settings(_) => Self::new("bad_request", message).with_field("settings"),
            TrainError::CannotServe { .. } | TrainError::OtherFeedback { .. } => {
                Self::new("unsupported", message).with_field("model")
            }
            TrainError::TooFew { .. } => Self::new("conflict", message),
            TrainError::Engine(error) => error.into(),
            TrainError::Version(error) => error.into(),
            _ => Self::internal(&message),
        }
    }
}

impl ApiError {
    /// A model folder that is torn or of another format. Paths are nobody's business outside.
    fn unusable(message: &str) -> Self {
        tracing::warn!(request_id = %request_id(), %message, "a version cannot be used");
        let told = "this version is damaged or of another format, so it cannot serve; the log says what is wrong with it";
        Self::new("conflict", told)
    }

    /// A fault of ours: the log has the reason, the client a number to ask about.
    pub(crate) fn internal(message: &str) -> Self {
        tracing::error!(request_id = %request_id(), %message, "internal error");
        Self::new("internal", "something went wrong in the server; the log says what")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_used_in_this_file_is_listed() {
        for line in include_str!("error.rs").lines().filter(|line| line.contains("Self::new(\"")) {
            let code = line.split("Self::new(\"").nth(1).unwrap().split('"').next().unwrap();
            assert!(CODES.iter().any(|(known, ..)| *known == code), "{code}");
        }
        let mut codes: Vec<&str> = CODES.iter().map(|(code, ..)| *code).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), CODES.len());
    }
}
