//! Retrieval: scoring a whole catalogue and keeping the ten best, on one thread; and finding most of them in a part of it.
//!
//! Floor: the factors are read once: 4·N·k bytes from L2 (64 bytes a cycle, 180 GB/s) for 4,000 items; for a million the coarse copy, N·k bytes,
//! from main memory (about 15 GB/s on one core).
//!
//! Items for the approximate search lie in a thousand groups, users near one of them: recall depends on how grouped a catalogue is.

use std::hint::black_box;
use std::time::Instant;

use foldin_benches::{Bench, on_threads, time_each};
use foldin_core::ItemFactors;
use foldin_core::random::Random;
use foldin_nn::retrieval::PackedItems;
use foldin_nn::retrieval::clustered::ClusteredItems;

fn main() {
    let mut bench = Bench::new("topk");
    let wide = if bench.is_measuring() { 1_000_000 } else { 1_000 };
    for (n_items, k, seconds_a_number, goal, calls) in [
        (4_000, 32, 4.0 / 1.8e11, Some(10e-6), 5_000),
        (4_000, 50, 4.0 / 1.8e11, None, 5_000),
        (wide, 32, 1.0 / 1.5e10, Some(15e-3), 50),
    ] {
        let mut random = Random::new(1);
        let mut normals = |n: usize| (0..n).map(|_| random.normal() as f32).collect::<Vec<f32>>();
        let items = ItemFactors { k, m: normals(n_items * k), bias: normals(n_items), mean: 3.5 };
        let packed = PackedItems::new(&items);
        let users: Vec<Vec<f32>> = (0..16).map(|_| normals(k)).collect();
        let seen: Vec<u32> = (0..100).map(|at| at * (n_items as u32 / 100)).collect();
        let mut turn = 0;
        let times = on_threads(1, || {
            time_each(bench.rounds(calls), || {
                turn += 1;
                black_box(packed.top_k(black_box(&users[turn % users.len()]), 0.1, 10, &seen))
            })
        });
        let line = bench.line(format!("score and top-10 of {n_items} items, k = {k}, p50"));
        line.microseconds(times.p50).floor((n_items * k) as f64 * seconds_a_number * 1e6);
        if let Some(goal) = goal {
            line.goal(goal * 1e6);
        }
    }
    nearly(&mut bench, wide);
    bench.finish();
}

/// Clusters of items: time to make, time to ask, and which share of the ten best is found.
fn nearly(bench: &mut Bench, n_items: usize) {
    let (k, groups) = (32, 1000);
    let mut random = Random::new(2);
    let mut normals =
        |n: usize, scale: f32| -> Vec<f32> { (0..n).map(|_| scale * random.normal() as f32).collect() };
    let centres = normals(groups * k, 0.7);
    let near = |row: &mut [f32], group: usize| {
        row.iter_mut().zip(&centres[group * k..]).for_each(|(x, centre)| *x += centre);
    };
    let mut m = normals(n_items * k, 0.5);
    m.chunks_exact_mut(k).enumerate().for_each(|(item, row)| near(row, item % groups));
    let items = ItemFactors { k, m, bias: normals(n_items, 0.3), mean: 3.5 };
    let mut users = normals(100 * k, 0.5);
    users.chunks_exact_mut(k).enumerate().for_each(|(user, row)| near(row, user * 37 % groups));
    let users: Vec<&[f32]> = users.chunks_exact(k).collect();
    let begin = Instant::now();
    let clustered = on_threads(2, || ClusteredItems::new(&items, 1));
    bench
        .line(format!("clusters of {n_items} items, k = {k}, 2 threads"))
        .microseconds(begin.elapsed().as_secs_f64());
    let packed = PackedItems::new(&items);
    let exact: Vec<_> = users.iter().map(|u| packed.top_k(u, 0.1, 10, &[])).collect();
    for share in [0.02, 0.05, 0.1, 0.2] {
        let ask = |u: &[f32]| clustered.top_k(&items, (u, 0.1), 10, &[], share);
        let found: usize = users
            .iter()
            .zip(&exact)
            .map(|(u, exact)| {
                let near = ask(u);
                exact.iter().filter(|best| near.iter().any(|scored| scored.item == best.item)).count()
            })
            .sum();
        let recall = found as f64 / (10 * users.len()) as f64;
        let mut turn = 0;
        let times = on_threads(1, || {
            time_each(bench.rounds(200), || {
                turn += 1;
                black_box(ask(users[turn % users.len()]))
            })
        });
        let of_all = format!("{:.0} % of {n_items} items", 100.0 * share);
        bench.line(format!("nearly the top-10 in {of_all}, recall {recall:.3}, p50")).microseconds(times.p50);
    }
}
