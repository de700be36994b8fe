//! Just enough linear algebra for the toy.

/// Inverse of a symmetric positive definite `n × n` matrix, by Gauss–Jordan elimination.
pub(crate) fn inverse(matrix: &[f64], n: usize) -> Vec<f64> {
    let mut left = matrix.to_vec();
    let mut right: Vec<f64> = (0..n * n).map(|cell| f64::from(u8::from(cell / n == cell % n))).collect();
    for pivot in 0..n {
        let scale = left[pivot * n + pivot];
        for column in 0..n {
            left[pivot * n + column] /= scale;
            right[pivot * n + column] /= scale;
        }
        for row in (0..n).filter(|&row| row != pivot) {
            let factor = left[row * n + pivot];
            for column in 0..n {
                left[row * n + column] -= factor * left[pivot * n + column];
                right[row * n + column] -= factor * right[pivot * n + column];
            }
        }
    }
    right
}

/// A square matrix times a vector.
pub(crate) fn times(matrix: &[f64], vector: &[f64]) -> Vec<f64> {
    matrix.chunks_exact(vector.len()).map(|row| row.iter().zip(vector).map(|(a, b)| a * b).sum()).collect()
}
