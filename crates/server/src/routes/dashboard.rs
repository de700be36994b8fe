//! The dashboard's built files, which are part of the binary.

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use rust_embed::Embed;

use crate::error::ApiError;

#[derive(Embed)]
#[folder = "assets"]
struct Assets;

/// Files whose name holds a hash of what is in them never change.
const FOREVER: &str = "public, max-age=31536000, immutable";

/// A file, or the page for every path that is not one: it shows what belongs there.
pub(super) async fn file(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    let reads = method == Method::GET || method == Method::HEAD;
    let of_the_api = ["v1/", "health/"].iter().any(|prefix| path.starts_with(prefix)) || path == "v1";
    let (path, lasting) = match Assets::get(path) {
        Some(_) if reads && !of_the_api => (path, path.starts_with("assets/")),
        // A page has no dot in its last part; a file that is not there is not there.
        None if reads && !of_the_api && !path.rsplit('/').next().unwrap_or("").contains('.') => {
            ("index.html", false)
        }
        _ => {
            return ApiError::new("not_found", "there is nothing at this address; /docs says what there is")
                .into_response();
        }
    };
    let Some(file) = Assets::get(path) else { return StatusCode::NOT_FOUND.into_response() };
    let tag = format!("\"{}\"", hex(&file.metadata.sha256_hash()[..16]));
    let same = headers.get(header::IF_NONE_MATCH).is_some_and(|sent| sent.as_bytes() == tag.as_bytes());
    let mut response = if same {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut response = file.data.into_owned().into_response();
        let kind = HeaderValue::from_str(file.metadata.mimetype());
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            kind.unwrap_or(HeaderValue::from_static("application/octet-stream")),
        );
        response
    };
    let caching = if lasting { FOREVER } else { "no-cache" };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
