//! Figures of merit of one user's ranked list.
//!
//! A list is what a model put first, best first, out of all items that the user had not had yet; *relevant* are the items that
//! the user turned out to take. All of these look at the first `k` places, at most as many as the list has, and gain is binary.
//! They live here because models stop by them and evaluation reports them.

/// One user's ranked list, reduced to what the figures need.
///
/// ```
/// use foldin_core::ranking::Ranked;
/// // The list 7, 3, 9, 1 for a user who took 3, 1 and 8.
/// let list = Ranked::new(&[7, 3, 9, 1], &[1, 3, 8]);
/// assert_eq!(list.hits(4), 2);
/// assert_eq!((list.precision(4), list.recall(4), list.reciprocal_rank(4)), (0.5, 2.0 / 3.0, 0.5));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranked {
    /// Whether the item at each place is relevant.
    hit: Vec<bool>,
    /// Number of relevant items, listed or not.
    relevant: usize,
}

impl Ranked {
    /// Looks up which of `list` (best first, each item once) are among `relevant`, whose order does not matter.
    #[must_use]
    pub fn new(list: &[u32], relevant: &[u32]) -> Self {
        let mut sorted = relevant.to_vec();
        sorted.sort_unstable();
        Self {
            hit: list.iter().map(|item| sorted.binary_search(item).is_ok()).collect(),
            relevant: sorted.len(),
        }
    }

    /// Relevant items among the first `k`.
    #[must_use]
    pub fn hits(&self, k: usize) -> usize {
        self.hit.iter().take(k).filter(|&&hit| hit).count()
    }

    /// Hits over `k`, also where the list is shorter: an empty place is a miss. 0 for `k = 0`.
    #[must_use]
    pub fn precision(&self, k: usize) -> f64 {
        ratio(self.hits(k) as f64, k as f64)
    }

    /// Hits over the number of relevant items; 0 if there is none.
    #[must_use]
    pub fn recall(&self, k: usize) -> f64 {
        ratio(self.hits(k) as f64, self.relevant as f64)
    }

    /// Harmonic mean of this user's precision and recall; 0 without a hit.
    #[must_use]
    pub fn f1(&self, k: usize) -> f64 {
        let (precision, recall) = (self.precision(k), self.recall(k));
        ratio(2.0 * precision * recall, precision + recall)
    }

    /// Σ over hits of `1 / log₂(place + 1)`, over the same sum for a list that begins with `min(k, relevant)` hits.
    #[must_use]
    pub fn ndcg(&self, k: usize) -> f64 {
        let discount = |place: usize| 1.0 / ((place + 2) as f64).log2();
        let gained = self.hit.iter().take(k).enumerate().filter(|(_, hit)| **hit);
        let ideal = (0..k.min(self.relevant)).map(discount).sum();
        ratio(gained.map(|(place, _)| discount(place)).sum(), ideal)
    }

    /// 1 over the place of the first hit; 0 if it is not among the first `k`.
    #[must_use]
    pub fn reciprocal_rank(&self, k: usize) -> f64 {
        self.hit.iter().take(k).position(|&hit| hit).map_or(0.0, |place| 1.0 / (place + 1) as f64)
    }

    /// Mean over `min(k, relevant)` of the precision at the place of each hit.
    #[must_use]
    pub fn average_precision(&self, k: usize) -> f64 {
        let (mut hits, mut sum) = (0usize, 0.0);
        for (place, _) in self.hit.iter().take(k).enumerate().filter(|(_, hit)| **hit) {
            hits += 1;
            sum += hits as f64 / (place + 1) as f64;
        }
        ratio(sum, k.min(self.relevant) as f64)
    }

    /// 1 if there is a hit, else 0.
    #[must_use]
    pub fn hit_rate(&self, k: usize) -> f64 {
        if self.hits(k) > 0 { 1.0 } else { 0.0 }
    }
}

fn ratio(part: f64, whole: f64) -> f64 {
    // An empty sum is −0; nobody wants to read that.
    if whole > 0.0 { part / whole + 0.0 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // Hits at places 1, 3 and 6; 4 relevant items.
        let list = Ranked::new(&[5, 0, 6, 1, 2, 7], &[9, 7, 6, 5]);
        assert_eq!([1, 2, 3, 5, 6].map(|k| list.hits(k)), [1, 1, 2, 2, 3]);
        assert_eq!((list.precision(5), list.recall(5)), (0.4, 0.5));
        assert!((list.f1(5) - 2.0 * 0.4 * 0.5 / 0.9).abs() < 1e-15);
        let ideal = 1.0 + 1.0 / 3f64.log2() + 0.5 + 1.0 / 5f64.log2();
        assert!((list.ndcg(5) - 1.5 / ideal).abs() < 1e-15);
        assert!((list.ndcg(2) - 1.0 / (1.0 + 1.0 / 3f64.log2())).abs() < 1e-15);
        assert!((list.average_precision(6) - (1.0 + 2.0 / 3.0 + 3.0 / 6.0) / 4.0).abs() < 1e-15);
        assert!((list.average_precision(2) - 0.5).abs() < 1e-15);
        assert_eq!((list.reciprocal_rank(3), list.hit_rate(3)), (1.0, 1.0));
    }

    #[test]
    fn late_and_missing_hits() {
        let late = Ranked::new(&[1, 2, 3, 4], &[4]);
        assert_eq!((late.reciprocal_rank(4), late.reciprocal_rank(3), late.hit_rate(3)), (0.25, 0.0, 0.0));
        assert_eq!((late.f1(3), late.ndcg(3), late.average_precision(3)), (0.0, 0.0, 0.0));
    }

    #[test]
    fn edges_are_zero_and_never_nan() {
        for (list, relevant, k) in [(&[][..], &[1][..], 5), (&[1, 2], &[], 5), (&[1], &[1], 0), (&[], &[], 0)]
        {
            let list = Ranked::new(list, relevant);
            let all = [
                list.precision(k),
                list.recall(k),
                list.f1(k),
                list.ndcg(k),
                list.reciprocal_rank(k),
                list.average_precision(k),
                list.hit_rate(k),
            ];
            assert!(all.iter().all(|figure| figure.to_bits() == 0), "{all:?}");
        }
    }

    /// With more places than items, empty places count as misses in precision and as nothing elsewhere.
    #[test]
    fn more_places_than_items() {
        let list = Ranked::new(&[2, 1], &[1, 2]);
        assert_eq!((list.precision(10), list.recall(10), list.ndcg(10)), (0.2, 1.0, 1.0));
        assert!((list.average_precision(10) - 1.0).abs() < 1e-15);
    }
}
