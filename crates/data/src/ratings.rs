//! Interactions gathered line by line, then sorted into rows.
//!
//! While reading, an interaction costs 20 bytes (user, item, value, time), in arrays that grow; sorting into rows takes
//! another 16 bytes each. 25 million ratings so peak below 1 GB.

use foldin_core::{Csr, Dictionary, Feedback, Interactions, RatingScale};

use crate::error::{LineProblem, ReadError};
use crate::keys::Keys;
use crate::options::{Duplicates, OpenOptions};
use crate::report::ReadReport;
use crate::scale;

/// Times above this are taken for milliseconds: as seconds they would lie beyond the year 5000.
const MILLISECONDS_ABOVE: i64 = 100_000_000_000;

/// What is known of the ratings before they are read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expect {
    /// Nothing: the scale is found in the ratings.
    Unknown,
    /// The scale of a known data set, or one that was given.
    Scale(RatingScale),
    /// Every line is something that happened.
    Implicit,
}

/// Collects interactions.
pub(crate) struct RatingsBuilder {
    pub(crate) users: Keys,
    pub(crate) items: Keys,
    /// Only keys that are known already may appear.
    closed: bool,
    expect: Expect,
    /// The step of a scale that was given; one that is only known is not held against the data.
    step: Option<f32>,
    duplicates: Duplicates,
    skip_bad_lines: bool,
    rows: Vec<u32>,
    columns: Vec<u32>,
    values: Vec<f32>,
    times: Vec<i64>,
    /// `(interaction, line)` wherever the line number is not that of the interaction before plus one.
    line_jumps: Vec<(usize, u64)>,
    next_line: u64,
    /// Where there are several files: `(interactions before it, file)` for each.
    files: Vec<(usize, String)>,
    pub(crate) report: ReadReport,
}

/// Interactions with the keys behind their numbers.
pub(crate) struct Ratings {
    pub(crate) interactions: Interactions,
    pub(crate) users: Dictionary,
    pub(crate) items: Dictionary,
    pub(crate) report: ReadReport,
}

impl RatingsBuilder {
    /// Starts without interactions; `options.scale` and `options.implicit` go before `expect`.
    pub(crate) fn new(
        file: &str,
        format: &'static str,
        users: Keys,
        items: Keys,
        expect: Expect,
        options: &OpenOptions,
    ) -> Self {
        let expect = match (options.implicit, options.scale) {
            (true, _) => Expect::Implicit,
            (false, Some(scale)) => Expect::Scale(scale),
            (false, None) => expect,
        };
        Self {
            users,
            items,
            closed: false,
            expect,
            step: options.scale.and_then(|scale| scale.step),
            duplicates: options.duplicates,
            skip_bad_lines: options.skip_bad_lines,
            rows: Vec::new(),
            columns: Vec::new(),
            values: Vec::new(),
            times: Vec::new(),
            line_jumps: Vec::new(),
            next_line: 0,
            files: Vec::new(),
            report: ReadReport {
                file: file.to_owned(),
                format,
                duplicates_rule: options.duplicates,
                ..ReadReport::default()
            },
        }
    }

    /// From now on a key that is not known is a bad line. The scale is that of data that were read before, so its steps
    /// are not held against the ratings again.
    pub(crate) fn closed(mut self) -> Self {
        self.closed = true;
        self.step = None;
        self
    }

    /// What follows is from this file, one of several that make up the data.
    pub(crate) fn begin_file(&mut self, label: &str) {
        self.files.push((self.rows.len(), label.to_owned()));
        self.next_line = 0;
    }

    /// The file has no ratings, only what happened.
    pub(crate) fn set_implicit(&mut self) {
        self.expect = Expect::Implicit;
    }

    /// Takes one interaction. Unless `time` is there for all interactions, the data are taken to have no times.
    #[inline]
    pub(crate) fn push(
        &mut self,
        user: &[u8],
        item: &[u8],
        value: f32,
        time: Option<i64>,
        line: u64,
    ) -> Result<(), ReadError> {
        let value = match self.expect {
            Expect::Scale(scale) if !scale.contains(value) => {
                return self.bad_line(line, LineProblem::OutOfScale { value, scale });
            }
            Expect::Scale(scale) if self.step.is_some_and(|step| is_between(value, scale.min, step)) => {
                return self.bad_line(line, LineProblem::OffStep { value, scale });
            }
            Expect::Implicit => 1.0,
            _ => value,
        };
        let (row, column) = if self.closed {
            let Some(row) = self.users.find(user) else {
                return self.bad_line(line, unknown("user", user));
            };
            let Some(column) = self.items.find(item) else {
                return self.bad_line(line, unknown("item", item));
            };
            (row, column)
        } else {
            if user.is_empty() || item.is_empty() {
                let what = if user.is_empty() { "user" } else { "item" };
                return self.bad_line(line, LineProblem::EmptyKey { what });
            }
            (self.users.intern(user), self.items.intern(item))
        };
        if line != self.next_line {
            self.line_jumps.push((self.rows.len(), line));
        }
        self.next_line = line + 1;
        self.rows.push(row);
        self.columns.push(column);
        self.values.push(value);
        if let Some(time) = time {
            self.times.push(time);
        }
        Ok(())
    }

    /// Refuses a line, or counts it if such lines are to be left out.
    #[cold]
    pub(crate) fn bad_line(&mut self, line: u64, problem: LineProblem) -> Result<(), ReadError> {
        let file = self.files.last().map(|(_, file)| file);
        if self.skip_bad_lines {
            let name = file.and_then(|file| file.rsplit(['/', '\\']).next());
            let place = name.map(|name| format!("{name}, ")).unwrap_or_default();
            self.report.skip(format!("{place}line {line}: {problem}"));
            return Ok(());
        }
        Err(ReadError::Line { file: file.unwrap_or(&self.report.file).clone(), line, problem })
    }

    /// Sorts everything into rows.
    pub(crate) fn finish(mut self) -> Result<Ratings, ReadError> {
        if self.rows.is_empty() {
            // With bad lines left out, an empty rest is the fault of the lines: say which.
            if let Some(example) = self.report.skipped_examples.first() {
                return Err(ReadError::Unsupported {
                    file: self.report.file,
                    reason: format!("none of its lines can be used; the first: {example}"),
                });
            }
            return Err(ReadError::Empty { file: self.report.file });
        }
        self.report.lines = self.rows.len() as u64;
        let untimed = self.rows.len() - self.times.len();
        if untimed > 0 && !self.times.is_empty() {
            self.report.note(format!(
                "{untimed} of {} lines have no time, so times are left out altogether; --columns time=- says so without this note",
                self.rows.len()
            ));
            self.times = Vec::new();
        }
        let feedback = self.feedback();
        let repeated = self.sort_into_rows()?;
        let SortedRows { offsets, columns, values, mut times } = repeated;
        if times.iter().any(|time| time.abs() > MILLISECONDS_ABOVE) {
            times.iter_mut().for_each(|time| *time = time.div_euclid(1000));
            self.report.note("times are taken as milliseconds".to_owned());
        }
        let csr = Csr::from_parts(self.items.len(), offsets, columns, values)?;
        let times = (times.len() == csr.n_entries()).then_some(times);
        Ok(Ratings {
            interactions: Interactions::new(csr, times, feedback)?,
            users: self.users.into_dictionary(),
            items: self.items.into_dictionary(),
            report: self.report,
        })
    }

    fn feedback(&mut self) -> Feedback {
        match self.expect {
            Expect::Scale(scale) => Feedback::Explicit(scale),
            Expect::Implicit => Feedback::Implicit,
            Expect::Unknown => match scale::derive(&self.values) {
                Some(scale) if scale.min < scale.max => {
                    self.report.scale_found = true;
                    Feedback::Explicit(scale)
                }
                _ => {
                    self.report.note(
                        "every rating is the same, so the data are taken as implicit; give the scale with --scale \
                         MIN,MAX if they are ratings"
                            .to_owned(),
                    );
                    self.values.fill(1.0);
                    Feedback::Implicit
                }
            },
        }
    }

    fn sort_into_rows(&mut self) -> Result<SortedRows, ReadError> {
        let n = self.rows.len();
        let mut offsets = vec![0usize; self.users.len() + 1];
        for &row in &self.rows {
            offsets[row as usize + 1] += 1;
        }
        for row in 1..offsets.len() {
            offsets[row] += offsets[row - 1];
        }
        // Scattering in the order of the file keeps that order within a row, which `Duplicates::Last` relies on.
        let mut sorted = SortedRows {
            columns: scatter(&self.rows, &offsets, &self.columns),
            values: scatter(&self.rows, &offsets, &self.values),
            times: Vec::new(),
            offsets,
        };
        self.values = Vec::new();
        if self.times.len() == n {
            sorted.times = scatter(&self.rows, &sorted.offsets, &self.times);
            self.times = Vec::new();
        }
        let pairs = sorted.sort_columns();
        if pairs > 0 {
            if self.duplicates == Duplicates::Error {
                return Err(self.duplicate_error(pairs));
            }
            sorted.merge(self.duplicates);
            self.report.duplicates = pairs;
        }
        Ok(sorted)
    }

    /// Finds the first repetition in the order of the file.
    fn duplicate_error(&self, pairs: u64) -> ReadError {
        let mut first_seen = std::collections::HashMap::with_capacity(self.rows.len());
        for (at, pair) in self.rows.iter().zip(&self.columns).enumerate() {
            if let Some(first) = first_seen.insert(pair, at) {
                let (file, first_file) = (self.file_of(at), self.file_of(first));
                return ReadError::Duplicate {
                    file: file.to_owned(),
                    line: self.line_of(at),
                    first_file: (first_file != file).then(|| first_file.to_owned()),
                    first_line: self.line_of(first),
                    user: self.users.key(*pair.0).to_owned(),
                    item: self.items.key(*pair.1).to_owned(),
                    pairs,
                };
            }
        }
        // Only reached if the caller counted pairs that are not there.
        ReadError::Empty { file: self.report.file.clone() }
    }

    fn file_of(&self, interaction: usize) -> &str {
        let behind = self.files.partition_point(|&(before, _)| before <= interaction);
        self.files[..behind].last().map_or(&self.report.file, |(_, file)| file)
    }

    fn line_of(&self, interaction: usize) -> u64 {
        let jump = self.line_jumps.partition_point(|&(first, _)| first <= interaction);
        let (first, line) = self.line_jumps[jump - 1];
        line + (interaction - first) as u64
    }
}

/// Whether a rating lies between two steps of a scale.
fn is_between(value: f32, min: f32, step: f32) -> bool {
    // Wide enough for the rounding of decimal fractions, narrow enough for any step that is meant.
    const TOLERANCE: f64 = 1e-3;
    let steps = (f64::from(value) - f64::from(min)) / f64::from(step);
    (steps - steps.round()).abs() > TOLERANCE
}

fn unknown(what: &'static str, key: &[u8]) -> LineProblem {
    LineProblem::UnknownKey { what, key: crate::text::decode(key).into_owned() }
}

/// `source` in the order of `rows`, stable.
fn scatter<T: Copy + Default>(rows: &[u32], offsets: &[usize], source: &[T]) -> Vec<T> {
    let mut next = offsets.to_vec();
    let mut out = vec![T::default(); source.len()];
    for (&row, &value) in rows.iter().zip(source) {
        let slot = &mut next[row as usize];
        out[*slot] = value;
        *slot += 1;
    }
    out
}

/// Puts `slice` into the order of the positions in the lower halves of `order`.
fn reorder<T: Copy>(slice: &mut [T], order: &[u64], before: &mut Vec<T>) {
    before.clear();
    before.extend_from_slice(slice);
    for (value, key) in slice.iter_mut().zip(order) {
        *value = before[*key as u32 as usize];
    }
}

/// The arrays of a row matrix, before repeated columns are merged.
struct SortedRows {
    offsets: Vec<usize>,
    columns: Vec<u32>,
    values: Vec<f32>,
    /// Empty if there are no times.
    times: Vec<i64>,
}

impl SortedRows {
    /// Sorts each row by column (stable), and counts the entries that repeat a column of their row.
    fn sort_columns(&mut self) -> u64 {
        let mut repeated = 0;
        // Column and position in one number sort faster than as a pair.
        let mut order: Vec<u64> = Vec::new();
        let mut values = Vec::new();
        let mut times = Vec::new();
        for row in 0..self.offsets.len() - 1 {
            let range = self.offsets[row]..self.offsets[row + 1];
            let columns = &mut self.columns[range.clone()];
            if columns.windows(2).all(|pair| pair[0] < pair[1]) {
                continue;
            }
            order.clear();
            order.extend(columns.iter().zip(0u64..).map(|(&column, at)| u64::from(column) << 32 | at));
            order.sort_unstable();
            for (column, key) in columns.iter_mut().zip(&order) {
                *column = (key >> 32) as u32;
            }
            repeated += columns.windows(2).filter(|pair| pair[0] == pair[1]).count() as u64;
            reorder(&mut self.values[range.clone()], &order, &mut values);
            if !self.times.is_empty() {
                reorder(&mut self.times[range], &order, &mut times);
            }
        }
        repeated
    }

    /// Leaves one entry for each column of a row.
    fn merge(&mut self, duplicates: Duplicates) {
        let timed = !self.times.is_empty();
        let mut to = 0;
        let mut from = 0;
        for row in 0..self.offsets.len() - 1 {
            let end = self.offsets[row + 1];
            while from < end {
                let column = self.columns[from];
                let same = self.columns[from..end].iter().take_while(|other| **other == column).count();
                let group = from..from + same;
                // `max_by_key` returns the last of equals, which is the later line.
                let latest =
                    group.clone().max_by_key(|&at| if timed { self.times[at] } else { 0 }).unwrap_or(from);
                self.columns[to] = column;
                self.values[to] = if duplicates == Duplicates::Mean {
                    let sum: f64 = self.values[group].iter().map(|&value| f64::from(value)).sum();
                    (sum / same as f64) as f32
                } else {
                    self.values[latest]
                };
                if timed {
                    self.times[to] = self.times[latest];
                }
                to += 1;
                from += same;
            }
            self.offsets[row + 1] = to;
        }
        self.columns.truncate(to);
        self.values.truncate(to);
        self.times.truncate(if timed { to } else { 0 });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builder(options: &OpenOptions) -> RatingsBuilder {
        RatingsBuilder::new("test.csv", "test", Keys::default(), Keys::default(), Expect::Unknown, options)
    }

    fn filled(options: &OpenOptions) -> RatingsBuilder {
        let mut out = builder(options);
        for (line, (user, item, value, time)) in [
            ("b", "x", 1.0, 5),
            ("a", "y", 2.0, 9),
            ("b", "y", 3.0, 7),
            ("a", "x", 4.0, 1),
            ("a", "y", 5.0, 8),
        ]
        .into_iter()
        .enumerate()
        {
            let line = 2 + 3 * line as u64;
            out.push(user.as_bytes(), item.as_bytes(), value, Some(time), line).unwrap();
        }
        out
    }

    #[test]
    fn repetitions_are_refused_with_both_lines() {
        let error = filled(&OpenOptions::default()).finish().err().unwrap();
        let ReadError::Duplicate { line: 14, first_line: 5, pairs: 1, .. } = &error else {
            panic!("{error}")
        };
        assert!(error.to_string().contains("--duplicates last"), "{error}");
    }

    #[test]
    fn repetitions_are_merged_as_asked() {
        for (duplicates, value) in [(Duplicates::Last, 2.0), (Duplicates::Mean, 3.5)] {
            let options = OpenOptions { duplicates, ..OpenOptions::default() };
            let out = filled(&options).finish().unwrap();
            assert_eq!(out.report.duplicates, 1);
            assert_eq!(out.users.keys().collect::<Vec<_>>(), ["b", "a"]);
            assert_eq!(out.interactions.by_user().row(1), (&[0, 1][..], &[4.0, value][..]));
            assert_eq!(out.interactions.times(), Some(&[5, 7, 1, 9][..]));
        }
    }

    #[test]
    fn decimal_steps_are_not_refused_for_their_rounding() {
        for tenth in -100i16..=100 {
            let value = f32::from(tenth) / 10.0;
            assert!(!is_between(value, -10.0, 0.1), "{value}");
            assert_eq!(is_between(value, -10.0, 0.5), tenth % 5 != 0, "{value}");
        }
    }

    #[test]
    fn nothing_is_an_error() {
        assert!(matches!(builder(&OpenOptions::default()).finish(), Err(ReadError::Empty { .. })));
    }

    #[test]
    fn milliseconds_become_seconds() {
        let mut out = builder(&OpenOptions { implicit: true, ..OpenOptions::default() });
        out.push(b"a", b"x", 9.0, Some(1_588_687_728_923), 1).unwrap();
        let out = out.finish().unwrap();
        assert_eq!(out.interactions.times(), Some(&[1_588_687_728][..]));
        assert_eq!(out.interactions.feedback(), Feedback::Implicit);
        assert_eq!(out.interactions.by_user().values(), &[1.0]);
    }
}
