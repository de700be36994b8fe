//! Kernels of Gaussian posteriors: many small symmetric systems, and sums of second moments over sparse rows.
//!
//! | module | holds |
//! | --- | --- |
//! | [`moments`] | [`Moments`]: second moments of many vectors, summed over the rows of a sparse matrix, for training |
//! | [`mod@posterior`] | [`posterior()`]: covariance and mean from a precision matrix |
//! | [`quantised`] | [`QuantisedRows`]: rows of eight-bit numbers, summed exactly, for serving |
//! | [`products`] | [`RowProducts`]: Gram matrices of gathered rows, for serving |
//!
//! Symmetric matrices are packed as lower triangles by rows: element `(i, j)`, `j ≤ i`, is number `i (i + 1) / 2 + j`. All
//! results have the same bits at any number of threads.

pub mod moments;
pub mod posterior;
pub mod products;
pub mod quantised;

pub use moments::{CHUNK, Moments, RowSums, set_row};
pub use posterior::{Workspace, packed_trace, posterior};
pub use products::RowProducts;
pub use quantised::QuantisedRows;

/// Number of elements of a packed lower triangle.
#[must_use]
pub const fn packed_len(dims: usize) -> usize {
    dims * (dims + 1) / 2
}
