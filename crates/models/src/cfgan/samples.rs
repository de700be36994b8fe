//! The samples of places without a purchase, drawn anew every epoch and again from their seeds whenever a row is visited: nothing
//! of them is kept.

use foldin_core::Csr;
use foldin_core::random::numbered_seed;
use foldin_nn::masks::{clear, draw, set, words};

use super::config::CfganConfig;

/// The samples of an epoch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Samples {
    zero: u64,
    zero_share: f64,
    unmasked: u64,
    unmasked_share: f64,
}

impl Samples {
    pub(super) fn new(config: &CfganConfig, seed: u64, epoch: usize) -> Self {
        let of = |purpose: &str| numbered_seed(seed, purpose, epoch as u64);
        let share = |wanted: bool, share: f64| if wanted { share } else { 0.0 };
        Self {
            zero: of("zero reconstruction"),
            zero_share: share(config.scheme.reconstructs(), config.zero_share),
            unmasked: of("partial masking"),
            unmasked_share: share(config.scheme.unmasks(), config.unmasked_share),
        }
    }

    /// Places of a case that the discriminator sees: the purchased ones, and the sample of partial masking.
    pub(super) fn seen(self, cases: &Csr, case: u32, bits: &mut [u64]) {
        draw(numbered_seed(self.unmasked, "case", u64::from(case)), self.unmasked_share, bits);
        set(bits, cases.row(case as usize).0);
    }

    /// Places of a case that are drawn to zero, none of them purchased.
    pub(super) fn zeroed(self, cases: &Csr, case: u32, bits: &mut [u64]) {
        draw(numbered_seed(self.zero, "case", u64::from(case)), self.zero_share, bits);
        clear(bits, cases.row(case as usize).0);
    }
}

/// Room for the bits of a row of `cases`.
pub(super) fn bits_of(cases: &Csr) -> Vec<u64> {
    vec![0; words(cases.n_cols())]
}
