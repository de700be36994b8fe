//! The best items for generated factors, nearly: a scan of the clusters of items that promise most.
//!
//! Items are put together by k-means over their factors and biases (Lloyd 1982; for search: Sivic and Zisserman 2003). Of a cluster with the mean `c`
//! and the spread `r` (root mean square distance from `c`, over all directions), the best score that a user of factors `u` is likely to find is
//! `u·c + 3 |u| r / √(k + 1)`: the mean of its scores and three of their standard deviations. The clusters are scanned in this order, coarsely, until a given
//! share of the catalogue was seen; the best are then scored as they are. What is in the list has its exact score, and something better may be missing.
//!
//! Cost of a list: `n_clusters` scores, and `k` bytes for each item looked at. Memory: `k + 13` bytes an item. Making it: `(k + 1) · n_clusters`
//! multiplications an item, ten rounds of a sample and one of all.

use std::ops::Range;

use foldin_core::random::Random;
use foldin_core::{ItemFactors, ItemId, Scored, TopK};
use rayon::prelude::*;

use super::{BLOCK, Coarse, PackedItems, coarse_scores, extended};
use crate::kernels::dot;

/// Items of the sample for each cluster, from which the means are learned.
const SAMPLE: usize = 64;

/// Rounds of learning.
const ROUNDS: usize = 10;

/// Items scored exactly for each place in the list: the coarse order is nearly right.
const CANDIDATES: usize = 4;

/// Standard deviations above its mean at which a cluster's best score is expected.
const DEVIATIONS: f32 = 3.0;

/// All items, by clusters.
#[derive(Clone, Debug)]
pub struct ClusteredItems {
    k: usize,
    mean: f32,
    n_items: usize,
    /// Means and spreads, as items of `k + 2` factors.
    means: PackedItems,
    /// Blocks of each cluster.
    blocks: Vec<Range<usize>>,
    /// Number of items of each block: the last of a cluster may have fewer than [`BLOCK`].
    sizes: Vec<u8>,
    coarse: Coarse,
    /// Items by place.
    item_at: Vec<u32>,
    /// Places by item.
    place_of: Vec<u32>,
}

impl ClusteredItems {
    /// Clusters the items of a model, about `√n` of them, on the current Rayon pool. The same seed gives the same clusters.
    #[must_use]
    pub fn new(items: &ItemFactors, seed: u64) -> Self {
        let (n, k) = (items.bias.len(), items.k);
        let n_clusters = ((n as f64).sqrt() as usize).max(1);
        let row = |item: usize| items.row(item).iter().copied().chain([items.bias[item]]);
        let mut sample: Vec<usize> = (0..n).collect();
        let mut random = Random::new(seed);
        let n_sample = n.min(SAMPLE * n_clusters);
        for at in 0..n_sample {
            sample.swap(at, at + random.below(n - at));
        }
        let sampled: Vec<f32> = sample[..n_sample].iter().flat_map(|&item| row(item)).collect();
        let mut means: Vec<f32> = sampled[..n_clusters.min(n_sample) * (k + 1)].to_vec();
        for _ in 0..ROUNDS {
            let nearest = assign(&means, &sampled, k + 1);
            means = centre(&means, &sampled, &nearest, k + 1).0;
        }
        let all: Vec<f32> = (0..n).flat_map(row).collect();
        let nearest = assign(&means, &all, k + 1);
        let (means, spreads, counts) = centre(&means, &all, &nearest, k + 1);

        let mut members: Vec<Vec<u32>> = counts.iter().map(|&count| Vec::with_capacity(count)).collect();
        for (item, &cluster) in nearest.iter().enumerate() {
            members[cluster as usize].push(item as u32);
        }
        let (mut blocks, mut sizes, mut item_at) = (Vec::new(), Vec::new(), Vec::new());
        let (mut place_of, mut rows) = (vec![0u32; n], Vec::new());
        let (mut of_means, mut n_kept) = (Vec::new(), 0);
        for (cluster, members) in members.iter().enumerate().filter(|(_, members)| !members.is_empty()) {
            let first = sizes.len();
            for block in members.chunks(BLOCK) {
                for &item in block {
                    place_of[item as usize] = item_at.len() as u32;
                    item_at.push(item);
                    rows.extend(row(item as usize));
                }
                let missing = BLOCK - block.len();
                item_at.extend(std::iter::repeat_n(u32::MAX, missing));
                rows.extend(std::iter::repeat_n(0.0, missing * (k + 1)));
                sizes.push(block.len() as u8);
            }
            blocks.push(first..sizes.len());
            of_means.extend_from_slice(&means[cluster * (k + 1)..(cluster + 1) * (k + 1)]);
            of_means.push(DEVIATIONS * spreads[cluster] / ((k + 1) as f32).sqrt());
            n_kept += 1;
        }
        let means = ItemFactors { k: k + 2, m: of_means, bias: vec![0.0; n_kept], mean: 0.0 };
        Self {
            k,
            mean: items.mean,
            n_items: n,
            means: PackedItems::new(&means),
            blocks,
            sizes,
            coarse: Coarse::new(&rows, k + 1),
            item_at,
            place_of,
        }
    }

    /// Number of clusters.
    #[must_use]
    pub fn n_clusters(&self) -> usize {
        self.blocks.len()
    }

    /// The best `n` items that are found without `excluded` (which must ascend), best first, ties to the lowest item, for a user of factors `u` and
    /// bias `bias`; `share`, 0 to 1, of the catalogue is looked at. `items` are those that this was made of. Runs on the calling thread.
    ///
    /// # Panics
    /// If `u` has not `k` elements, or `items` are of another number.
    #[must_use]
    pub fn top_k(
        &self,
        items: &ItemFactors,
        (u, bias): (&[f32], f32),
        n: usize,
        excluded: &[u32],
        share: f32,
    ) -> Vec<Scored> {
        assert_eq!(u.len(), self.k, "number of factors");
        assert_eq!(items.bias.len(), self.n_items, "number of items");
        let x = extended(u);
        let chosen = self.promising(&x, share, n + excluded.len());
        let mut unwanted: Vec<u32> = excluded.iter().map(|&item| self.place_of[item as usize]).collect();
        unwanted.sort_unstable();
        let mut best = TopK::new((CANDIDATES * n).min(self.n_items), &unwanted);
        let (scaled, _) = self.coarse.prepare(&x, 0.0);
        let mut sums = [0f32; BLOCK];
        for block in chosen.into_iter().flat_map(|cluster| self.blocks[cluster].clone()) {
            let bytes = scaled.len() * BLOCK;
            let coarse = &self.coarse.blocks[block * bytes..(block + 1) * bytes];
            let any = coarse_scores(&scaled, coarse, best.threshold(), &mut sums);
            if any || best.threshold() == f32::NEG_INFINITY {
                best.push((block * BLOCK) as u32, &mut sums[..usize::from(self.sizes[block])]);
            }
        }
        let shift = bias + self.mean;
        let mut list: Vec<Scored> = best
            .finish()
            .into_iter()
            .map(|place| {
                let item = self.item_at[place.item.index()];
                let score = dot(items.row(item as usize), u) + items.bias[item as usize] + shift;
                Scored { item: ItemId(item), score }
            })
            .collect();
        list.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.item.cmp(&b.item)));
        list.truncate(n);
        list
    }

    /// Clusters to look at, ascending: the most promising ones that together hold the share of the items, and `least` at least.
    fn promising(&self, x: &[f32], share: f32, least: usize) -> Vec<usize> {
        let enough = ((f64::from(share) * self.n_items as f64) as usize).max(least).min(self.n_items);
        let mut query = x.to_vec();
        query.push(dot(x, x).sqrt());
        let mut promises = vec![0.0; self.n_clusters()];
        self.means.score(&query, 0.0, &mut promises);
        let mut order: Vec<usize> = (0..promises.len()).collect();
        order.sort_unstable_by(|&a, &b| promises[b].total_cmp(&promises[a]).then(a.cmp(&b)));
        let mut seen = 0;
        let mut chosen: Vec<usize> = order
            .into_iter()
            .take_while(|&cluster| {
                let goes_on = seen < enough;
                seen += self.sizes[self.blocks[cluster].clone()]
                    .iter()
                    .map(|&size| usize::from(size))
                    .sum::<usize>();
                goes_on
            })
            .collect();
        chosen.sort_unstable();
        chosen
    }
}

/// For each row of `rows`, the nearest of the means; all of `width` numbers.
fn assign(means: &[f32], rows: &[f32], width: usize) -> Vec<u32> {
    // |x − c|² is least where x·c − |c|²/2 is greatest.
    let bias = means.chunks_exact(width).map(|mean| -0.5 * dot(mean, mean)).collect();
    let means = PackedItems::new(&ItemFactors { k: width, m: means.to_vec(), bias, mean: 0.0 });
    let nearest = |row: &[f32]| means.top_k(row, 0.0, 1, &[]).first().map_or(0, |best| best.item.0);
    rows.par_chunks_exact(width).map(nearest).collect()
}

/// Means of the rows of each cluster (the old one where there are none), their spreads, and how many they are.
fn centre(old: &[f32], rows: &[f32], cluster_of: &[u32], width: usize) -> (Vec<f32>, Vec<f32>, Vec<usize>) {
    let n = old.len() / width;
    let (mut sums, mut counts) = (vec![0f64; old.len()], vec![0usize; n]);
    for (row, &cluster) in rows.chunks_exact(width).zip(cluster_of) {
        let at = cluster as usize;
        counts[at] += 1;
        sums[at * width..(at + 1) * width].iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
    }
    let mean = |at: usize| match counts[at / width] {
        0 => old[at],
        count => (sums[at] / count as f64) as f32,
    };
    let means: Vec<f32> = (0..old.len()).map(mean).collect();
    let mut spreads = vec![0f64; n];
    for (row, &cluster) in rows.chunks_exact(width).zip(cluster_of) {
        let at = cluster as usize;
        let distance =
            row.iter().zip(&means[at * width..(at + 1) * width]).map(|(x, c)| f64::from(x - c).powi(2));
        spreads[at] += distance.sum::<f64>();
    }
    let spreads = spreads.iter().zip(&counts).map(|(sum, &count)| (sum / count.max(1) as f64).sqrt() as f32);
    let spreads = spreads.collect();
    (means, spreads, counts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Items in groups, of unlike sizes and popularity, as those of a catalogue are.
    fn grouped(n: usize, k: usize, groups: usize, seed: u64) -> (ItemFactors, Vec<Vec<f32>>) {
        let mut random = Random::new(seed);
        let mut normals =
            |n: usize, scale: f32| -> Vec<f32> { (0..n).map(|_| scale * random.normal() as f32).collect() };
        let centres: Vec<Vec<f32>> = (0..groups).map(|_| normals(k, 1.0)).collect();
        let mut m = normals(n * k, 0.5);
        for (item, row) in m.chunks_exact_mut(k).enumerate() {
            row.iter_mut().zip(&centres[item * item % groups]).for_each(|(x, c)| *x += c);
        }
        let users = (0..20)
            .map(|user| {
                let mut u = normals(k, 0.5);
                u.iter_mut().zip(&centres[user % groups]).for_each(|(x, c)| *x += c);
                u
            })
            .collect();
        (ItemFactors { k, m, bias: normals(n, 0.3), mean: 3.5 }, users)
    }

    #[test]
    fn a_part_of_a_grouped_catalogue_holds_most_of_the_best() {
        let (items, users) = grouped(30_000, 16, 60, 1);
        let (clustered, packed) = (ClusteredItems::new(&items, 1), PackedItems::new(&items));
        let recall = |share: f32| {
            let (mut found, mut all) = (0, 0);
            for u in &users {
                let seen: Vec<u32> = packed.top_k(u, 0.2, 30, &[]).iter().map(|best| best.item.0).collect();
                let mut seen: Vec<u32> = seen.into_iter().step_by(2).collect();
                seen.sort_unstable();
                let exact = packed.top_k(u, 0.2, 10, &seen);
                let near = clustered.top_k(&items, (u, 0.2), 10, &seen, share);
                assert_eq!(near.len(), 10);
                for scored in &near {
                    assert!(!seen.contains(&scored.item.0));
                    let same = exact.iter().find(|best| best.item == scored.item);
                    assert!(
                        same.is_none_or(|best| (best.score - scored.score).abs() < 1e-4),
                        "{scored:?} {same:?}"
                    );
                }
                found +=
                    exact.iter().filter(|best| near.iter().any(|scored| scored.item == best.item)).count();
                all += exact.len();
            }
            f64::from(found as u32) / f64::from(all as u32)
        };
        let recalls = [0.02, 0.05, 0.2].map(recall);
        assert!(recalls[0] < recalls[1] && recalls[1] < recalls[2], "{recalls:?}");
        assert!(recalls[1] >= 0.8 && recalls[2] >= 0.97, "{recalls:?}");
    }

    #[test]
    fn the_same_at_any_number_of_threads() {
        let (items, users) = grouped(3_000, 8, 10, 2);
        let made = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| ClusteredItems::new(&items, 1))
        };
        let (one, three) = (made(1), made(3));
        assert_eq!(one.item_at, three.item_at);
        for u in &users {
            let list = |clustered: &ClusteredItems| clustered.top_k(&items, (u, 0.0), 10, &[], 0.2);
            assert_eq!(list(&one), list(&three));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        /// Looking at everything finds everything, whatever the shapes.
        #[test]
        fn the_whole_catalogue_is_exact(
            n_items in 0usize..600, k in 1usize..6, n in 0usize..20, seed in 0u64..100,
            excluded in proptest::collection::btree_set(0u32..600, 0..30),
        ) {
            let (items, users) = grouped(n_items, k, 3, seed);
            let excluded: Vec<u32> = excluded.into_iter().filter(|&item| (item as usize) < n_items).collect();
            let (clustered, packed) = (ClusteredItems::new(&items, seed), PackedItems::new(&items));
            for u in users.iter().take(3) {
                let exact = packed.top_k(u, 0.1, n, &excluded);
                let near = clustered.top_k(&items, (u, 0.1), n, &excluded, 1.0);
                prop_assert_eq!(near.len(), exact.len());
                // The coarse order may differ where scores nearly tie.
                for (near, exact) in near.iter().zip(&exact) {
                    prop_assert!((near.score - exact.score).abs() < 0.05, "{:?} {:?}", near, exact);
                }
            }
        }
    }
}
