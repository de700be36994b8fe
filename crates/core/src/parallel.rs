//! Work cut into fixed chunks, so that results do not depend on the number of threads.

use rayon::prelude::*;

/// Runs `map` over fixed chunks of `0..n` on the current pool and merges the results in chunk order. The chunks depend on
/// `n` and `chunk` alone, so a floating-point sum has the same bits at any number of threads.
///
/// ```
/// let sum = foldin_core::parallel::chunked_sum(10, 3, |range| range.map(|x| x as f64).sum());
/// assert_eq!(sum, 45.0);
/// ```
pub fn chunked_sum(n: usize, chunk: usize, map: impl Fn(std::ops::Range<usize>) -> f64 + Sync) -> f64 {
    chunked(n, chunk, map).into_iter().sum()
}

/// As [`chunked_sum`], for any result: one element a chunk, in order.
pub fn chunked<T: Send>(n: usize, chunk: usize, map: impl Fn(std::ops::Range<usize>) -> T + Sync) -> Vec<T> {
    let chunk = chunk.max(1);
    (0..n.div_ceil(chunk)).into_par_iter().map(|at| map(at * chunk..((at + 1) * chunk).min(n))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_bits_at_any_number_of_threads() {
        let sum = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| chunked_sum(10_007, 64, |range| range.map(|x| (x as f64).sqrt().sin()).sum()))
        };
        assert_eq!(sum(1).to_bits(), sum(2).to_bits());
        assert_eq!(sum(1).to_bits(), sum(3).to_bits());
        assert_eq!(chunked(0, 4, |range| range.len()), Vec::<usize>::new());
    }
}
