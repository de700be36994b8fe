//! Exact retrieval: scoring a whole catalogue and keeping the ten best, on one thread.
//!
//! Floor: the factors are read once: 4·N·k bytes from L2 (64 bytes a cycle, 180 GB/s) for 4,000 items; for a million the coarse copy, N·k bytes,
//! from main memory (about 15 GB/s on one core).

use std::hint::black_box;

use foldin_benches::{Bench, on_threads, time_each};
use foldin_core::ItemFactors;
use foldin_core::random::Random;
use foldin_nn::retrieval::PackedItems;

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
    bench.finish();
}
