//! A table of figures, each beside the floor that arithmetic sets and the goal that was set for it.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use serde_json::{Value, json};

/// A bench that runs.
#[derive(Debug)]
pub struct Bench {
    name: &'static str,
    measuring: bool,
    lines: Vec<Line>,
}

/// One figure.
#[derive(Clone, Debug)]
pub struct Line {
    what: String,
    unit: &'static str,
    measured: f64,
    floor: Option<f64>,
    goal: Option<f64>,
    more_is_better: bool,
}

impl Bench {
    /// Begins a bench. It measures when `cargo bench` started it, and is a smoke run otherwise.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        let measuring = std::env::args().any(|argument| argument == "--bench");
        Self { name, measuring, lines: Vec::new() }
    }

    /// Whether this is a real measurement; if not, use the smallest data that go through the code.
    #[must_use]
    pub fn is_measuring(&self) -> bool {
        self.measuring
    }

    /// Whether what this word names was asked for: `cargo bench … -- WORD` leaves out the parts of a bench without it.
    #[must_use]
    pub fn wants(&self, what: &str) -> bool {
        let mut words = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).peekable();
        !self.measuring || words.peek().is_none() || words.any(|word| what.contains(&word))
    }

    /// So many rounds, or 2 in a smoke run.
    #[must_use]
    pub fn rounds(&self, rounds: usize) -> usize {
        if self.measuring { rounds } else { rounds.min(2) }
    }

    /// A new line of the table; set what was measured with the methods of [`Line`].
    pub fn line(&mut self, what: impl Into<String>) -> &mut Line {
        let at = self.lines.len();
        self.lines.push(Line {
            what: what.into(),
            unit: "",
            measured: f64::NAN,
            floor: None,
            goal: None,
            more_is_better: false,
        });
        &mut self.lines[at]
    }

    /// Prints the table, then the same as one line of JSON. A smoke run prints only that it ran: its figures mean nothing.
    pub fn finish(self) {
        if !self.measuring {
            println!("{}: {} figures, smoke run", self.name, self.lines.len());
            return;
        }
        let width = self.lines.iter().map(|line| line.what.chars().count()).max().unwrap_or_default();
        println!("{:<width$}  {:>12}  {:>12}  {:>14}", self.name, "measured", "floor", "goal");
        for line in &self.lines {
            let number = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.3}"));
            let sign = if line.more_is_better { "≥" } else { "≤" };
            let goal = line.goal.map_or_else(String::new, |goal| format!("{sign} {goal:.3}"));
            let verdict = match line.meets() {
                None => "",
                Some(true) => "met",
                Some(false) => "MISSED",
            };
            println!(
                "{:<width$}  {:>12}  {:>12}  {goal:>14}  {:<6} {verdict}",
                line.what,
                number(Some(line.measured)),
                number(line.floor),
                line.unit,
            );
        }
        let lines: Vec<Value> = self
            .lines
            .iter()
            .map(|line| json!({ "what": line.what, "unit": line.unit, "measured": line.measured, "floor": line.floor, "goal": line.goal, "met": line.meets() }))
            .collect();
        println!("{}", json!({ "bench": self.name, "lines": lines }));
    }
}

impl Line {
    /// Sets the figure in any unit.
    pub fn measured(&mut self, value: f64, unit: &'static str) -> &mut Self {
        (self.measured, self.unit) = (value, unit);
        self
    }

    /// Sets the figure from seconds, shown in microseconds.
    pub fn microseconds(&mut self, seconds: f64) -> &mut Self {
        self.measured(seconds * 1e6, "µs")
    }

    /// Sets the figure from seconds, shown in seconds.
    pub fn seconds(&mut self, seconds: f64) -> &mut Self {
        self.measured(seconds, "s")
    }

    /// Sets the figure from bytes, shown in MiB.
    pub fn bytes(&mut self, bytes: u64) -> &mut Self {
        self.measured(bytes as f64 / f64::from(1 << 20), "MiB")
    }

    /// What no program on this machine could do better, in the unit of the figure.
    pub fn floor(&mut self, value: f64) -> &mut Self {
        self.floor = Some(value);
        self
    }

    /// The figure should be at most this, in its unit.
    pub fn goal(&mut self, value: f64) -> &mut Self {
        (self.goal, self.more_is_better) = (Some(value), false);
        self
    }

    /// The figure should be at least this, in its unit.
    pub fn goal_at_least(&mut self, value: f64) -> &mut Self {
        (self.goal, self.more_is_better) = (Some(value), true);
        self
    }

    fn meets(&self) -> Option<bool> {
        self.goal.map(|goal| if self.more_is_better { self.measured >= goal } else { self.measured <= goal })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_have_a_direction() {
        let mut bench = Bench::new("test");
        assert_eq!(bench.line("fast").microseconds(2e-6).goal(2.5).meets(), Some(true));
        assert_eq!(bench.line("slow").seconds(3.0).goal(2.5).meets(), Some(false));
        assert_eq!(bench.line("ratio").measured(3.0, "x").goal_at_least(2.2).meets(), Some(true));
        assert_eq!(bench.line("unknown").measured(f64::NAN, "x").goal(1.0).meets(), Some(false));
        assert_eq!(bench.line("no goal").bytes(1 << 20).meets(), None);
    }
}
