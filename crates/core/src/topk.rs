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
/// large catalogue.
#[derive(Clone, Debug)]
pub struct TopK<'a> {
    n: usize,
    excluded: &'a [u32],
    best: Vec<Scored>,
    threshold: f32,
}

/// Scores compared at once before looking closer.
const LANES: usize = 16;

impl<'a> TopK<'a> {
    /// Collects up to `n` items, never those of `excluded`, which must ascend.
    #[must_use]
    pub fn new(n: usize, excluded: &'a [u32]) -> Self {
        debug_assert!(excluded.windows(2).all(|pair| pair[0] < pair[1]), "excluded items ascend");
        Self { n, excluded, best: Vec::with_capacity(n + 1), threshold: f32::NEG_INFINITY }
    }

    /// The lowest score that an item must exceed to enter, once `n` are held; negative infinity before that.
    #[must_use]
    pub fn threshold(&self) -> f32 {
        self.threshold
    }

    /// Looks at the scores of items `first..first + scores.len()`. Blocks must come in ascending order. NaN never enters.
    pub fn push(&mut self, first: u32, scores: &[f32]) {
        if self.n == 0 {
            return;
        }
        let mut at = 0;
        while at < scores.len() && self.best.len() < self.n {
            self.offer(first + at as u32, scores[at]);
            at += 1;
        }
        let mut blocks = scores[at..].chunks_exact(LANES);
        for block in &mut blocks {
            let mut any = false;
            for &score in block {
                any |= score > self.threshold;
            }
            if any {
                for (lane, &score) in block.iter().enumerate() {
                    self.offer(first + (at + lane) as u32, score);
                }
            }
            at += LANES;
        }
        for (lane, &score) in blocks.remainder().iter().enumerate() {
            self.offer(first + (at + lane) as u32, score);
        }
    }

    /// Looks at one item; items must come in ascending order.
    pub fn offer(&mut self, item: u32, score: f32) {
        let enters = if self.best.len() < self.n { !score.is_nan() } else { score > self.threshold };
        if !enters || self.excluded.binary_search(&item).is_ok() {
            return;
        }
        // Equal scores keep their order of arrival, which is by ascending id.
        let place = self.best.partition_point(|held| held.score >= score);
        self.best.insert(place, Scored { item: ItemId(item), score });
        self.best.truncate(self.n);
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
    best.push(0, scores);
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
            scores in proptest::collection::vec(prop_oneof![4 => (-3i8..3).prop_map(f32::from), 1 => Just(f32::NAN)], 0..200),
            n in 0usize..40,
            excluded in proptest::collection::btree_set(0u32..200, 0..30),
            cut in 0usize..200,
        ) {
            let excluded: Vec<u32> = excluded.into_iter().collect();
            let expected = naive(&scores, n, &excluded);
            prop_assert_eq!(&top_k(&scores, n, &excluded), &expected);
            let cut = cut.min(scores.len());
            let mut blocks = TopK::new(n, &excluded);
            blocks.push(0, &scores[..cut]);
            blocks.push(cut as u32, &scores[cut..]);
            prop_assert_eq!(blocks.finish(), expected);
        }
    }
}
