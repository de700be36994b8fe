//! Work that waits for the disk or takes long, on threads where waiting harms nobody.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use crate::error::ApiError;

/// The request that something is done for.
#[derive(Clone, Debug)]
pub(crate) struct Doing {
    /// Its number, which belongs into every line of the log about it.
    pub(crate) id: Arc<str>,
    /// The place that it takes among those that are worked on at the same time; none if it only watches.
    #[expect(dead_code, reason = "it is held, and given back when the last clone goes")]
    pub(crate) place: Option<Arc<OwnedSemaphorePermit>>,
}

tokio::task_local! {
    pub(crate) static DOING: Doing;
}

/// Number of the request that something is done for; empty outside of any.
pub(crate) fn request_id() -> Arc<str> {
    DOING.try_with(|doing| doing.id.clone()).unwrap_or_default()
}

/// Does some work of a request. The request's place is taken until the work is done, even if nobody waits for it any more: a limit on what is worked
/// on would be none if requests that were given up went on beside it.
pub(crate) async fn blocking<T, E>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, ApiError>
where
    T: Send + 'static,
    E: Send + 'static,
    ApiError: From<E>,
{
    let doing = DOING.try_with(Clone::clone).ok();
    let span = tracing::Span::current();
    let work = move || match doing {
        Some(doing) => DOING.sync_scope(doing, || span.in_scope(work)),
        None => span.in_scope(work),
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        Err(error) => Err(ApiError::internal(&error.to_string())),
    }
}
