//! Interactions out of lines with separated columns.

use crate::error::{LineProblem, ReadError};
use crate::fields::{Fields, Separator};
use crate::lines::Lines;
use crate::ratings::RatingsBuilder;
use crate::text::{decode, parse_decimal, parse_time};

/// Which column holds what, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RatingColumns {
    pub(crate) user: usize,
    pub(crate) item: usize,
    pub(crate) rating: Option<usize>,
    pub(crate) time: Option<usize>,
}

impl RatingColumns {
    /// User, item, rating, time, as in all early MovieLens files.
    pub(crate) const USUAL: Self = Self { user: 0, item: 1, rating: Some(2), time: Some(3) };

    /// How many columns a line must have at least.
    fn needed(self) -> usize {
        1 + self.user.max(self.item).max(self.rating.unwrap_or(0)).max(self.time.unwrap_or(0))
    }
}

/// Hands every remaining line to `builder`. Blank lines are passed over.
pub(crate) fn read_interactions(
    lines: &mut Lines<'_>,
    separator: Separator,
    columns: RatingColumns,
    builder: &mut RatingsBuilder,
) -> Result<(), ReadError> {
    let needed = columns.needed();
    let quotes = separator.quotes();
    let mut fields = Fields::default();
    while let Some((line, record)) = lines.next(quotes)? {
        fields.split(record, separator, needed);
        match interaction(record, &fields, needed, columns) {
            Ok((value, time)) => {
                let (user, item) = (fields.value(record, columns.user), fields.value(record, columns.item));
                builder.push(&user, &item, value, time, line)?;
            }
            Err(_) if record.trim_ascii().is_empty() => {}
            Err(problem) => builder.bad_line(line, problem)?,
        }
    }
    Ok(())
}

#[inline]
fn interaction(
    record: &[u8],
    fields: &Fields,
    needed: usize,
    columns: RatingColumns,
) -> Result<(f32, Option<i64>), LineProblem> {
    if fields.open_quote(record) {
        return Err(LineProblem::OpenQuote);
    }
    if fields.len() < needed {
        return Err(LineProblem::TooFewColumns { expected: needed, got: fields.len() });
    }
    let value = match columns.rating {
        Some(column) => parse_rating(fields.raw(record, column))?,
        None => 1.0,
    };
    let time = match columns.time {
        Some(column) => Some(parse_time_field(fields.raw(record, column))?),
        None => None,
    };
    Ok((value, time))
}

/// A finite rating.
#[inline]
pub(crate) fn parse_rating(text: &[u8]) -> Result<f32, LineProblem> {
    let Some(value) = parse_decimal(text) else {
        return Err(LineProblem::InvalidNumber { what: "rating", text: decode(text).into_owned() });
    };
    let value = value as f32;
    if value.is_finite() {
        Ok(value)
    } else {
        Err(LineProblem::NotFinite { text: decode(text).into_owned() })
    }
}

/// A time in Unix seconds.
#[inline]
pub(crate) fn parse_time_field(text: &[u8]) -> Result<i64, LineProblem> {
    parse_time(text)
        .ok_or_else(|| LineProblem::InvalidNumber { what: "time", text: decode(text).into_owned() })
}
