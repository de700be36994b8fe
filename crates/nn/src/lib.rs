//! Kernels of Foldin's models: instruction sets chosen at run time, sparse and dense layers, optimisers, retrieval.

#![cfg_attr(test, allow(clippy::float_cmp, reason = "tests compare what must be the same bits"))]

pub mod adam;
pub mod aligned;
pub mod dense_layer;
pub mod dropout;
pub mod gaussian;
pub mod half_rows;
pub mod kernels;
pub mod linalg;
pub mod matmul;
pub mod observed;
pub mod plan;
pub mod retrieval;
pub mod ridge;
pub mod simd;
pub mod sparse_layer;
pub mod svd;
pub mod table;
