//! Work that waits for the disk or takes long, on threads where waiting harms nobody.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use crate::error::ApiError;

tokio::task_local! {
    /// The place that a request takes among those that are worked on at the same time; none of requests that only watch.
    pub(crate) static PLACE: Option<Arc<OwnedSemaphorePermit>>;
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
    let place = PLACE.try_with(Clone::clone).ok().flatten();
    let span = tracing::Span::current();
    let work = move || {
        let _place = place;
        span.in_scope(work)
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        Err(error) => Err(ApiError::internal(&error.to_string())),
    }
}
