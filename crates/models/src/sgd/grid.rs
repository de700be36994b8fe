//! Ratings cut into a grid of blocks, so that stochastic gradient descent can run in parallel and still be deterministic.
//!
//! Users and items are each dealt to [`GROUPS`] groups. Blocks on one diagonal of the grid share neither users nor items, so
//! they run in parallel without meeting, and the result does not depend on which thread takes which (Gemulla et al. 2011,
//! "Large-scale matrix factorization with distributed stochastic gradient descent").

use foldin_core::Csr;
use foldin_core::random::{Random, numbered_seed};
use foldin_nn::descent::Entry;

/// Groups of users, and of items. Fixed, because results depend on it.
pub(super) const GROUPS: usize = 8;

/// Where the users (or items) of a matrix went.
#[derive(Clone, Debug)]
pub(super) struct Groups {
    /// The position of each row in the new order, in which groups stand one after the other.
    pub(super) position: Vec<u32>,
    /// Where each group starts, and the end.
    pub(super) starts: [usize; GROUPS + 1],
}

impl Groups {
    /// Deals rows to groups by their number of ratings, most first, there and back again, so that groups come out even.
    fn deal(counts: &[usize]) -> Self {
        let mut order: Vec<u32> = (0..counts.len() as u32).collect();
        order.sort_by_key(|&row| (std::cmp::Reverse(counts[row as usize]), row));
        let mut members: [Vec<u32>; GROUPS] = Default::default();
        for (turn, &row) in order.iter().enumerate() {
            let (round, place) = (turn / GROUPS, turn % GROUPS);
            members[if round % 2 == 0 { place } else { GROUPS - 1 - place }].push(row);
        }
        let mut out = Self { position: vec![0; counts.len()], starts: [0; GROUPS + 1] };
        let mut next = 0;
        for (group, members) in members.iter().enumerate() {
            for &row in members {
                out.position[row as usize] = next;
                next += 1;
            }
            out.starts[group + 1] = next as usize;
        }
        out
    }

    fn group_of(&self, position: u32) -> usize {
        self.starts.partition_point(|&start| start <= position as usize) - 1
    }
}

/// The ratings of a matrix in blocks.
#[derive(Clone, Debug)]
pub(super) struct Grid {
    pub(super) users: Groups,
    pub(super) items: Groups,
    entries: Vec<Entry>,
    /// Where each block starts in `entries`, row-major by user group and then item group, and the end.
    starts: Vec<usize>,
}

impl Grid {
    /// Cuts `(ratings − origin) / unit` into blocks. O(ratings), 12 bytes a rating.
    pub(super) fn new(ratings: &Csr, origin: f32, unit: f32) -> Self {
        let mut item_counts = vec![0usize; ratings.n_cols()];
        for &item in ratings.columns() {
            item_counts[item as usize] += 1;
        }
        let user_counts: Vec<usize> = (0..ratings.n_rows()).map(|user| ratings.row_len(user)).collect();
        let (users, items) = (Groups::deal(&user_counts), Groups::deal(&item_counts));
        let item_groups: Vec<usize> = items.position.iter().map(|&at| items.group_of(at)).collect();
        let block_of = |user: u32, item: u32| {
            users.group_of(users.position[user as usize]) * GROUPS + item_groups[item as usize]
        };
        let mut starts = vec![0; GROUPS * GROUPS + 1];
        for (user, item, _) in ratings.triples() {
            starts[block_of(user, item) + 1] += 1;
        }
        for block in 0..GROUPS * GROUPS {
            starts[block + 1] += starts[block];
        }
        let mut next = starts.clone();
        let mut entries = vec![Entry { user: 0, item: 0, value: 0.0 }; ratings.n_entries()];
        for (user, item, value) in ratings.triples() {
            let block = block_of(user, item);
            entries[next[block]] = Entry {
                user: users.position[user as usize] - users.starts[block / GROUPS] as u32,
                item: items.position[item as usize] - items.starts[block % GROUPS] as u32,
                value: (value - origin) / unit,
            };
            next[block] += 1;
        }
        Self { users, items, entries, starts }
    }

    /// The ratings of a block in the random order of an epoch, which depends on the seed, the epoch and the block alone.
    pub(super) fn shuffled(&self, block: usize, seed: u64, epoch: usize, into: &mut Vec<Entry>) {
        into.clear();
        into.extend_from_slice(&self.entries[self.starts[block]..self.starts[block + 1]]);
        let number = (epoch * GROUPS * GROUPS + block) as u64;
        Random::new(numbered_seed(seed, "sgd block", number)).shuffle(into);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rating_is_in_one_block_and_groups_are_even() {
        let mut random = Random::new(1);
        let mut triples = Vec::new();
        for user in 0..100 {
            for item in 0..50 {
                if random.chance(0.3) {
                    triples.push((user, item, random.below(5) as f32));
                }
            }
        }
        let ratings = Csr::from_triples(100, 50, &triples).unwrap();
        let grid = Grid::new(&ratings, 1.0, 0.5);
        let mut found = Vec::new();
        let mut block_entries = Vec::new();
        for block in 0..GROUPS * GROUPS {
            grid.shuffled(block, 1, 0, &mut block_entries);
            for entry in &block_entries {
                let user = grid.users.starts[block / GROUPS] as u32 + entry.user;
                let item = grid.items.starts[block % GROUPS] as u32 + entry.item;
                let row = grid.users.position.iter().position(|&at| at == user).unwrap() as u32;
                let column = grid.items.position.iter().position(|&at| at == item).unwrap() as u32;
                found.push((row, column, entry.value * 0.5 + 1.0));
            }
        }
        found.sort_by_key(|&(user, item, _)| (user, item));
        assert_eq!(found, triples);
        let sizes = |starts: &[usize]| starts.windows(2).map(|pair| pair[1] - pair[0]).collect::<Vec<_>>();
        assert!(sizes(&grid.users.starts).iter().all(|&size| (12..=13).contains(&size)));
        assert!(sizes(&grid.items.starts).iter().all(|&size| (6..=7).contains(&size)));
    }

    #[test]
    fn the_order_changes_from_epoch_to_epoch() {
        let triples: Vec<_> = (0..64).map(|user| (user, 0, 1.0)).collect();
        let grid = Grid::new(&Csr::from_triples(64, 1, &triples).unwrap(), 0.0, 1.0);
        let (mut one, mut two, mut again) = (Vec::new(), Vec::new(), Vec::new());
        grid.shuffled(0, 1, 0, &mut one);
        grid.shuffled(0, 1, 1, &mut two);
        grid.shuffled(0, 1, 0, &mut again);
        assert_ne!(one, two);
        assert_eq!(one, again);
    }
}
