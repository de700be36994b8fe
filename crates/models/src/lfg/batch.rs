//! Batches of users: drawn, masked and turned item by item, a segment of training at a time.

use foldin_core::TrainingData;
use foldin_core::random::{Random, numbered_seed};
use foldin_nn::observed::{Rater, Target};
use foldin_nn::plan::{RowLists, plan_skips};
use foldin_nn::sparse_layer::Entry;
use rayon::prelude::*;

use super::config::LfgConfig;

/// Ratings of a segment: batches are prepared this many ratings ahead, at some thirty bytes each.
const SEGMENT_RATINGS: usize = 500_000;

/// A batch, ready for the network.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Number of users.
    pub(super) n: usize,
    /// Visible ratings and side information, by row of the sparse layer.
    pub(super) inputs: RowLists<Entry>,
    /// All ratings, by item.
    pub(super) raters: RowLists<Rater>,
    /// `n + 1` positions in `targets`.
    pub(super) offsets: Vec<usize>,
    /// All ratings, by user.
    pub(super) targets: Vec<Target>,
}

/// Some batches of an epoch, and how many steps pass before each row is first needed.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) batches: Vec<Batch>,
    pub(super) inputs_wait: Vec<u32>,
    pub(super) items_wait: Vec<u32>,
}

/// Makes the batches of a training run.
#[derive(Debug)]
pub(super) struct Batches<'a> {
    data: TrainingData<'a>,
    /// Users who have ratings.
    users: Vec<u32>,
    batch_size: usize,
    mask: (f32, f32),
    input_exponent: f32,
    indicator: bool,
    side: bool,
    mean: f32,
    unit: f32,
    seed: u64,
}

impl<'a> Batches<'a> {
    pub(super) fn new(
        data: TrainingData<'a>,
        config: &LfgConfig,
        batch_size: usize,
        mean: f32,
        unit: f32,
        seed: u64,
    ) -> Self {
        let by_user = data.interactions.by_user();
        let users = (0..by_user.n_rows() as u32).filter(|&user| by_user.row_len(user as usize) > 0).collect();
        let mask = (config.mask, config.mask_up_to.or_else(|| config.mask));
        Self {
            data,
            users,
            batch_size,
            mask,
            input_exponent: config.input_exponent,
            indicator: config.indicator,
            side: config.side_information,
            mean,
            unit,
            seed,
        }
    }

    /// Batches, and so steps, of an epoch.
    pub(super) fn per_epoch(&self) -> usize {
        self.users.len().div_ceil(self.batch_size)
    }

    /// The users of each batch of an epoch, in segments.
    pub(super) fn epoch(&self, epoch: usize) -> Vec<Vec<Vec<u32>>> {
        let mut order = self.users.clone();
        Random::new(numbered_seed(self.seed, "order", epoch as u64)).shuffle(&mut order);
        let by_user = self.data.interactions.by_user();
        let mut segments: Vec<Vec<Vec<u32>>> = Vec::new();
        let mut ratings = usize::MAX;
        for batch in order.chunks(self.batch_size) {
            let more: usize = batch.iter().map(|&user| by_user.row_len(user as usize)).sum();
            ratings = ratings.saturating_add(more);
            if ratings > SEGMENT_RATINGS {
                segments.push(Vec::new());
                ratings = more;
            }
            if let Some(segment) = segments.last_mut() {
                segment.push(batch.to_vec());
            }
        }
        segments
    }

    /// Prepares the batches of a segment.
    pub(super) fn prepare(&self, users: &[Vec<u32>], epoch: usize) -> Segment {
        let n_items = self.data.interactions.n_items();
        let n_side = if self.side { self.data.user_features.width() } else { 0 };
        let mut batches: Vec<Batch> = users
            .par_iter()
            .map_init(|| vec![0u32; n_items + n_side], |counts, users| self.batch(users, epoch, counts))
            .collect();
        let inputs_wait = plan_skips(n_items + n_side, batches.iter_mut().map(|batch| &mut batch.inputs));
        let items_wait = plan_skips(n_items, batches.iter_mut().map(|batch| &mut batch.raters));
        Segment { batches, inputs_wait, items_wait }
    }

    fn batch(&self, users: &[u32], epoch: usize, counts: &mut [u32]) -> Batch {
        let by_user = self.data.interactions.by_user();
        let n_items = by_user.n_cols();
        let n_users = by_user.n_rows() as u64;
        let mut inputs: Vec<(u32, Entry)> = Vec::new();
        let mut offsets = vec![0];
        for (position, &user) in users.iter().enumerate() {
            let (items, values) = by_user.row(user as usize);
            let number = epoch as u64 * n_users + u64::from(user);
            let mut random = Random::new(numbered_seed(self.seed, "mask", number));
            let hidden = f64::from(self.mask.0) + f64::from(self.mask.1 - self.mask.0) * random.uniform();
            let first = inputs.len();
            for (&item, &value) in items.iter().zip(values) {
                if random.uniform() >= hidden {
                    let a = (value - self.mean) / self.unit;
                    inputs.push((item, Entry { user: position as u32, a, b: 1.0 }));
                }
            }
            let scale = input_scale(inputs.len() - first, self.input_exponent);
            for (_, entry) in &mut inputs[first..] {
                entry.a *= scale;
                entry.b = if self.indicator { scale } else { 0.0 };
            }
            if self.side {
                let row = self.data.user_features.row(user as usize);
                for (&column, &value) in row.columns.iter().zip(row.values) {
                    let entry = Entry { user: position as u32, a: value, b: 0.0 };
                    inputs.push((n_items as u32 + column, entry));
                }
            }
            offsets.push(offsets[position] + items.len());
        }
        let inputs = RowLists::group(counts, |add| inputs.iter().for_each(|&(row, entry)| add(row, entry)));
        let raters = RowLists::group(&mut counts[..n_items], |add| {
            for (position, &user) in users.iter().enumerate() {
                for (at, &item) in by_user.row(user as usize).0.iter().enumerate() {
                    let rating = (offsets[position] + at) as u32;
                    add(item, Rater { user: position as u32, rating });
                }
            }
        });
        let mut targets = vec![Target::default(); offsets[users.len()]];
        for (item, _) in raters.rows.iter().enumerate() {
            for rater in raters.of(item) {
                targets[rater.rating as usize].item = item as u32;
            }
        }
        for (position, &user) in users.iter().enumerate() {
            let values = by_user.row(user as usize).1;
            for (target, &value) in targets[offsets[position]..offsets[position + 1]].iter_mut().zip(values) {
                target.value = (value - self.mean) / self.unit;
            }
        }
        Batch { n: users.len(), inputs, raters, offsets, targets }
    }
}

/// `(100/n)^exponent`; 1 for a user without visible ratings.
pub(super) fn input_scale(n_visible: usize, exponent: f32) -> f32 {
    if n_visible == 0 { 1.0 } else { (100.0 / n_visible as f32).powf(exponent) }
}
