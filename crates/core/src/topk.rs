//! The `n` best of many scores. Order: score descending, then the lowest id.

use crate::ids::ItemId;

/// An item with its score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// The item.
    pub item: ItemId,
    /// Its score.
    pub score: f32,
}

/// Collects the best `n` while blocks of scores stream by in ascending order of item.
///
/// A block costs one comparison an item as long as nothing in it enters the list, which is the case for nearly all of a
/// large catalogue. The first block is not like that, since early on everything enters; so the `n` greatest of its partial
/// maxima, which no list of `n` can fall below, set the threshold before a single item is looked at.
#[derive(Clone, Debug)]
pub struct TopK<'a> {
    n: usize,
    /// What is still ahead of those that must not enter.
    excluded: &'a [u32],
    best: Vec<Scored>,
    /// A score must exceed this to enter.
    threshold: f32,
}

/// Scores compared at once before looking closer.
const LANES: usize = 16;

/// Scores that [`top_k`] copies at a time.
const BLOCK: usize = 4096;

/// Partial maxima for each place in the list: the more, the closer their `n`-th greatest comes to the `n`-th best score.
const MAXIMA_PER_PLACE: usize = 12;

impl<'a> TopK<'a> {
    /// Collects up to `n` items, never those of `excluded`, which must ascend.
    #[must_use]
    pub fn new(n: usize, excluded: &'a [u32]) -> Self {
        debug_assert!(excluded.windows(2).all(|pair| pair[0] < pair[1]), "excluded items ascend");
        Self { n, excluded, best: Vec::with_capacity(n), threshold: f32::NEG_INFINITY }
    }

    /// The score that an item must exceed to enter; negative infinity as long as all enter.
    #[must_use]
    pub fn threshold(&self) -> f32 {
        self.threshold
    }

    /// Looks at the scores of items `first..first + scores.len()`. Blocks must come in ascending order; items that are left out
    /// are those that cannot enter. NaN never enters; scores of excluded items become NaN.
    pub fn push(&mut self, first: u32, scores: &mut [f32]) {
        let end = first + scores.len() as u32;
        let passed = self.excluded.partition_point(|&item| item < first);
        let here = self.excluded[passed..].partition_point(|&item| item < end);
        for &item in &self.excluded[passed..passed + here] {
            scores[(item - first) as usize] = f32::NAN;
        }
        self.excluded = &self.excluded[passed + here..];
        if self.best.is_empty() {
            self.threshold = self.threshold.max(bound(scores, self.n));
        }
        for (number, block) in scores.chunks(LANES).enumerate() {
            // While the list fills, everything is a candidate, negative infinity included.
            let all = self.threshold == f32::NEG_INFINITY;
            if all || block.iter().fold(false, |any, &score| any | (score > self.threshold)) {
                for (lane, &score) in block.iter().enumerate() {
                    self.offer(first + (number * LANES + lane) as u32, score);
                }
            }
        }
    }

    fn offer(&mut self, item: u32, score: f32) {
        let all = self.threshold == f32::NEG_INFINITY && self.best.len() < self.n;
        let enters = if all { !score.is_nan() } else { score > self.threshold };
        if !enters || self.n == 0 {
            return;
        }
        // Equal scores keep their order of arrival, which is by ascending id.
        let place = self.best.partition_point(|held| held.score >= score);
        if self.best.len() == self.n {
            self.best.pop();
        }
        self.best.insert(place, Scored { item: ItemId(item), score });
        if self.best.len() == self.n {
            self.threshold = self.best[self.n - 1].score;
        }
    }

    /// The list, best first.
    #[must_use]
    pub fn finish(self) -> Vec<Scored> {
        self.best
    }
}

/// A number that at least `n` of the scores exceed, if that is quickly found; negative infinity otherwise.
fn bound(scores: &[f32], n: usize) -> f32 {
    let width = (n * MAXIMA_PER_PLACE).next_multiple_of(LANES);
    if n == 0 || scores.len() < 4 * width {
        return f32::NEG_INFINITY;
    }
    let mut maxima = vec![f32::NEG_INFINITY; width];
    for scores in scores.chunks(width) {
        for (maximum, &score) in maxima.iter_mut().zip(scores) {
            // NaN is not greater than anything.
            *maximum = if score > *maximum { score } else { *maximum };
        }
    }
    let (_, nth, _) = maxima.select_nth_unstable_by(n - 1, |a, b| b.total_cmp(a));
    nth.next_down()
}

/// Whether all scores are the same, so that they put no item before another.
///
/// ```
/// use foldin_core::all_alike;
/// assert!(all_alike(&[0.0, 0.0]) && all_alike(&[]) && !all_alike(&[0.0, 1.0]));
/// ```
#[must_use]
#[expect(clippy::float_cmp, reason = "scores of which one is ever so little higher put it first")]
pub fn all_alike(scores: &[f32]) -> bool {
    scores.windows(2).all(|pair| pair[0] == pair[1])
}

/// The best `n` of `scores`, best first, without `excluded` (ascending); fewer if there are no more. NaN never enters.
///
/// ```
/// use foldin_core::top_k;
/// let best = top_k(&[0.5, 2.0, 0.1, 2.0], 3, &[0]);
/// assert_eq!(best.iter().map(|scored| scored.item.0).collect::<Vec<_>>(), [1, 3, 2]);
/// ```
#[must_use]
pub fn top_k(scores: &[f32], n: usize, excluded: &[u32]) -> Vec<Scored> {
    let mut best = TopK::new(n.min(scores.len()), excluded);
    let mut copy = vec![0.0; BLOCK.min(scores.len())];
    for (number, block) in scores.chunks(BLOCK).enumerate() {
        let copy = &mut copy[..block.len()];
        copy.copy_from_slice(block);
        best.push((number * BLOCK) as u32, copy);
    }
    best.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(scores: &[f32], n: usize, excluded: &[u32]) -> Vec<Scored> {
        let mut all: Vec<Scored> = scores
            .iter()
            .enumerate()
            .filter(|(item, score)| !score.is_nan() && !excluded.contains(&(*item as u32)))
            .map(|(item, &score)| Scored { item: ItemId(item as u32), score })
            .collect();
        all.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.item.cmp(&b.item)));
        all.truncate(n);
        all
    }

    proptest! {
        #[test]
        fn equals_sorting_and_truncating(
            scores in proptest::collection::vec(prop_oneof![4 => (-3i8..3).prop_map(f32::from), 1 => Just(f32::NAN), 1 => Just(f32::NEG_INFINITY)], 0..1000),
            n in prop_oneof![0usize..4, 0usize..40],
            excluded in proptest::collection::btree_set(0u32..1000, 0..60),
            cut in 0usize..1000,
        ) {
            let excluded: Vec<u32> = excluded.into_iter().collect();
            let expected = naive(&scores, n, &excluded);
            prop_assert_eq!(&top_k(&scores, n, &excluded), &expected);
            let cut = cut.min(scores.len());
            let mut blocks = TopK::new(n, &excluded);
            let mut scores = scores;
            let (before, after) = scores.split_at_mut(cut);
            blocks.push(0, before);
            blocks.push(cut as u32, after);
            prop_assert_eq!(blocks.finish(), expected);
        }
    }
}
