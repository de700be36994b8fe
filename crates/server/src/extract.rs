//! Bodies and queries, with errors of the one shape.

use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use serde::de::DeserializeOwned;

use crate::error::ApiError;

/// A JSON body. Errors name the place in it.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let content = content_type(request.headers());
        if !matches!(content.as_str(), "" | "application/json") {
            return Err(ApiError::new(
                "wrong_type",
                format!("the body is `{content}`, not application/json"),
            ));
        }
        let bytes = axum::body::Bytes::from_request(request, state).await.map_err(too_large)?;
        parse(&bytes).map(Self)
    }
}

/// The media type of a body, without parameters, in lower case.
pub(crate) fn content_type(headers: &axum::http::HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    value.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}

/// A body that was not read.
pub(crate) fn too_large(rejection: BytesRejection) -> ApiError {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        ApiError::new("too_large", "the body is larger than the limit; send it in parts")
    } else {
        ApiError::new("bad_body", "the body ended early")
    }
}

/// Reads JSON; an error names the field.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let refused = ApiError::new("bad_body", error.inner().to_string());
        // Where the text ends early there is no place to name.
        if path == "." || path.contains('?') { refused } else { refused.with_field(path) }
    })?;
    deserializer.end().map_err(|error| ApiError::new("bad_body", error.to_string()))?;
    Ok(value)
}

/// What stands behind `?`.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match axum::extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(query) => Ok(Self(query.0)),
            Err(rejection) => Err(bad_query(&rejection)),
        }
    }
}

fn bad_query(rejection: &QueryRejection) -> ApiError {
    let text = rejection.body_text();
    let detail = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text).to_owned();
    // serde's path comes first where there is one: `n: invalid digit found in string`.
    match detail.split_once(": ") {
        Some((field, _)) if !field.contains(' ') => {
            ApiError::new("bad_request", detail.clone()).with_field(field)
        }
        _ => ApiError::new("bad_request", detail),
    }
}

/// A key in the path, decoded.
pub(crate) struct Key(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Key {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match axum::extract::Path::<String>::from_request_parts(parts, state).await {
            Ok(key) => Ok(Self(key.0)),
            Err(_) => Err(ApiError::new("bad_request", "the key in the path is not UTF-8")),
        }
    }
}
