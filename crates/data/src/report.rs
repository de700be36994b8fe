//! What happened while reading, beside the data themselves.

use crate::error::counted;
use crate::options::Duplicates;

/// How many bad lines are kept with their message.
const EXAMPLES: usize = 5;

/// What a reader saw, took and left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReadReport {
    /// The file or archive member the interactions came from.
    pub file: String,
    /// The format, in words.
    pub format: &'static str,
    /// Lines with an interaction that were taken.
    pub lines: u64,
    /// Lines left out because they could not be used (only with `skip_bad_lines`).
    pub skipped: u64,
    /// Messages of the first few lines that were left out.
    pub skipped_examples: Vec<String>,
    /// Lines that repeated a pair and were merged into it.
    pub duplicates: u64,
    /// The rule by which they would be, or were, merged.
    pub duplicates_rule: Duplicates,
    /// Whether the rating scale was read off the ratings themselves, which may not reach its ends.
    pub scale_found: bool,
    /// Remarks a user should see, such as side information that was left out.
    pub notes: Vec<String>,
}

impl ReadReport {
    /// Counts a line that was left out.
    pub(crate) fn skip(&mut self, message: String) {
        self.skipped += 1;
        if self.skipped_examples.len() < EXAMPLES {
            self.skipped_examples.push(message);
        }
    }

    /// What a user should be told: lines that were merged or left out, and the notes. Empty if all went as expected.
    #[must_use]
    pub fn remarks(&self) -> Vec<String> {
        let mut out = Vec::new();
        if self.duplicates > 0 {
            let lines = counted(self.duplicates, "line");
            let rule = self.duplicates_rule.name();
            out.push(format!("{}: {lines} repeated a pair; --duplicates {rule} was applied", self.file));
        }
        if self.skipped > 0 {
            let examples = self.skipped_examples.join("; ");
            let more = if self.skipped > self.skipped_examples.len() as u64 { "; …" } else { "" };
            let lines = if self.skipped == 1 {
                "1 bad line was"
            } else {
                &format!("{} bad lines were", self.skipped)
            };
            out.push(format!("{}: {lines} left out ({examples}{more})", self.file));
        }
        out.extend(self.notes.iter().cloned());
        out
    }

    /// Adds a remark, once.
    pub(crate) fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}
