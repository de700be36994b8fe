//! Kernels of Foldin's models: instruction sets chosen at run time, sparse and dense layers, optimisers, retrieval.

pub mod adam;
pub mod gaussian;
pub mod kernels;
pub mod linalg;
pub mod simd;
pub mod svd;
