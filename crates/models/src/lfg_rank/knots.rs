//! What is chosen by the length of a history, at a few lengths, and what it is at those between.

/// Clicks for which weights are chosen.
pub(super) const KNOTS: [usize; 8] = [0, 1, 2, 4, 8, 16, 32, 64];

/// Histories of up to so many clicks are short. Longer ones are as whole histories often are, and what is chosen for these holds: who gives 64 of
/// many clicks is another than who has no more.
pub(super) const SHORT: usize = 16;

/// A weight that is known at the [`KNOTS`], for a user with `n` clicks.
pub(super) fn at_count(by_count: &[f32; KNOTS.len()], n: usize) -> f32 {
    if n == 0 {
        return by_count[0];
    }
    let place = (n as f32).log2();
    let at = place.floor() as usize;
    let knot = |at: usize| by_count.get(at + 1).copied().unwrap_or(0.0);
    knot(at) + (place - at as f32) * (knot(at + 1) - knot(at))
}

/// Weights at the [`KNOTS`] in words.
pub(super) fn in_words(by_count: &[f32; KNOTS.len()]) -> String {
    let at = KNOTS.iter().zip(by_count).map(|(n, weight)| format!("{weight} with {n}"));
    at.collect::<Vec<_>>().join(", ")
}
