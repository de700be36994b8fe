//! Kernels of Foldin's models: instruction sets chosen at run time, sparse and dense layers, optimisers, retrieval.
//!
//! Matrices are plain slices, row-major, whose shapes each function states; sparse ones are [`foldin_core::Csr`].
//!
//! # Dense products
//! ```
//! use foldin_nn::matmul::{Matrix, Packed, matmul};
//! let (a, b) = ([1.0, 2.0], [3.0, 4.0, 5.0, 6.0]);
//! let mut c = [0.0; 2];
//! matmul(Matrix::new(&a, 1, 2), Matrix::new(&b, 2, 2), false, &mut c);
//! assert_eq!(c, [13.0, 16.0]);
//! // A matrix that is used often is laid out once; a transpose costs nothing.
//! Packed::new(Matrix::new(&b, 2, 2).transposed()).row_times(&a, &mut c);
//! assert_eq!(c, [11.0, 17.0]);
//! ```
//!
//! # The best items for generated factors
//! ```
//! use foldin_core::{ItemFactors, ItemId};
//! use foldin_nn::retrieval::PackedItems;
//! let items = ItemFactors { k: 2, m: vec![1.0, 0.0, 0.0, 1.0, 1.0, 1.0], bias: vec![0.0, 0.5, 0.0], mean: 3.0 };
//! let packed = PackedItems::new(&items);
//! // Without the item that the user has rated.
//! let best = packed.top_k(&[2.0, 1.0], 0.0, 2, &[2]);
//! assert_eq!(best.iter().map(|scored| scored.item).collect::<Vec<_>>(), [ItemId(0), ItemId(1)]);
//! assert_eq!(best[0].score, 5.0);
//! ```
//!
//! # A Gaussian posterior
//! ```
//! use foldin_nn::gaussian::{Workspace, posterior};
//! // Precision diag(1, 1) + 2 · [[1, 0], [0, 3]], the lower triangle packed by rows.
//! let (mut work, mut mean) = (Workspace::new(2), [0.0; 2]);
//! posterior(&[1.0, 0.0, 3.0], 2.0, &[1.0, 1.0], &[6.0, 7.0], &mut work, &mut mean);
//! assert!((mean[0] - 2.0).abs() < 1e-6 && (mean[1] - 1.0).abs() < 1e-6);
//! assert!((work.covariance(1, 1) - 1.0 / 7.0).abs() < 1e-6);
//! ```

#![cfg_attr(test, allow(clippy::float_cmp, reason = "tests compare what must be the same bits"))]

pub mod activation;
pub mod adam;
pub mod aligned;
pub mod blocks;
pub mod conjugate;
pub mod dense_layer;
pub mod descent;
pub mod dropout;
pub mod elastic_net;
pub mod flush;
pub mod gaussian;
pub mod gram;
pub mod half_rows;
pub mod half_table;
pub mod inverse;
pub mod kernels;
pub mod linalg;
pub mod masks;
pub mod matmul;
pub mod observed;
pub mod optimiser;
pub mod overlap;
pub mod pairwise;
pub mod plan;
pub mod retrieval;
pub mod ridge;
pub mod rprop;
pub mod simd;
pub mod similarity;
pub mod softmax;
pub mod sparse_layer;
pub mod svd;
pub mod table;
