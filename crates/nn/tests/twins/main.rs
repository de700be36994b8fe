//! Kernels of training and of generating a user against naive twins in `f64`: random sparse shapes with empty rows, one item, one
//! unit and odd widths, on every instruction set of this CPU.

mod dense_layer;
mod half_rows;
mod half_table;
mod observed;
mod sparse_layer;
mod table;

use std::process::Command;

use foldin_core::random::Random;
use foldin_nn::plan::RowLists;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

/// The level is decided once a process, so the lower ones get a process of their own: this test starts its own binary again.
#[test]
fn the_twins_hold_on_every_level() {
    for level in ["scalar", "avx2"] {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--skip", "the_twins_hold_on_every_level"])
            .env("FOLDIN_SIMD", level)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{level}:\n{said}");
        assert!(!said.contains(" 0 passed"), "{level}: nothing was run");
    }
}

/// Uniform between −1 and 1.
fn numbers(n: usize, random: &mut Random) -> Vec<f32> {
    (0..n).map(|_| (2.0 * random.uniform() - 1.0) as f32).collect()
}

fn wide(x: f32) -> f64 {
    f64::from(x)
}

/// A batch as lists of `(user, row, entry)`, in the order in which it was drawn: some users with nothing, and some rows that
/// nobody has.
fn cells(n_users: usize, n_rows: usize, share: f64, random: &mut Random) -> Vec<(u32, u32)> {
    let pairs = (0..n_users as u32).flat_map(|user| (0..n_rows as u32).map(move |row| (user, row)));
    pairs.filter(|&(user, _)| user % 4 != 3).filter(|_| random.chance(share)).collect()
}

fn grouped<E: Copy + Default>(n_rows: usize, entries: &[(u32, E)]) -> RowLists<E> {
    RowLists::group(&mut vec![0; n_rows], |add| entries.iter().for_each(|&(row, entry)| add(row, entry)))
}

/// A sum of products in `f64`, and what `f32` may make of it.
#[derive(Clone, Copy, Default)]
struct Sum {
    value: f64,
    size: f64,
    terms: u32,
}

impl Sum {
    fn of(terms: impl IntoIterator<Item = f64>) -> Self {
        let mut sum = Self::default();
        terms.into_iter().for_each(|term| sum.add(term));
        sum
    }

    fn add(&mut self, term: f64) {
        self.value += term;
        self.size += term.abs();
        self.terms += 1;
    }

    /// Each term is rounded once as a product and at most once for each addition, by 2⁻²⁴ of no more than all terms' sizes.
    fn check(&self, got: f32, what: &str) -> TestCaseResult {
        close(got, self.value, f64::from(self.terms + 1) * self.size * 2f64.powi(-24), what)
    }
}

fn close(got: f32, expected: f64, tolerance: f64, what: &str) -> TestCaseResult {
    prop_assert!(
        (wide(got) - expected).abs() <= tolerance,
        "{what}: {got} instead of {expected}, by {tolerance}"
    );
    Ok(())
}
