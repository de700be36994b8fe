//! Numbers that begin where a line of the cache does: a register that straddles two lines takes two reads.

use std::fmt::{self, Debug, Formatter};
use std::ops::{Deref, DerefMut};

/// Bytes of a line of the cache.
const LINE: usize = 64;

/// A fixed number of numbers, the first of them at the start of a line. Used as a slice.
///
/// ```
/// let numbers = foldin_nn::aligned::Aligned::<f32>::zeros(100);
/// assert_eq!(numbers.as_ptr().align_offset(64), 0);
/// assert_eq!(numbers.len(), 100);
/// ```
pub struct Aligned<T> {
    data: Vec<T>,
    first: usize,
    len: usize,
}

impl<T: Copy + Default> Aligned<T> {
    /// `len` zeros.
    #[must_use]
    pub fn zeros(len: usize) -> Self {
        let slack = LINE / size_of::<T>().clamp(1, LINE);
        let data = vec![T::default(); len + slack];
        // An offset that cannot be told is no error: alignment is for speed alone.
        let first = data.as_ptr().align_offset(LINE).min(slack);
        Self { data, first, len }
    }
}

impl<T: Copy + Default> From<&[T]> for Aligned<T> {
    fn from(numbers: &[T]) -> Self {
        let mut out = Self::zeros(numbers.len());
        out.copy_from_slice(numbers);
        out
    }
}

impl<T> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.data[self.first..self.first + self.len]
    }
}

impl<T> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.data[self.first..self.first + self.len]
    }
}

impl<T: Copy + Default> Clone for Aligned<T> {
    fn clone(&self) -> Self {
        Self::from(&**self)
    }
}

impl<T: Copy + Default> Default for Aligned<T> {
    fn default() -> Self {
        Self::zeros(0)
    }
}

impl<T: PartialEq> PartialEq for Aligned<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Debug> Debug for Aligned<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_aligned_and_equal() {
        for len in [0, 1, 15, 16, 1000] {
            let mut numbers = Aligned::<u16>::zeros(len);
            numbers.iter_mut().enumerate().for_each(|(at, x)| *x = at as u16);
            let copy = numbers.clone();
            assert_eq!(copy, numbers);
            assert_eq!(copy.as_ptr().align_offset(LINE), 0);
            assert_eq!(copy.len(), len);
        }
    }
}
