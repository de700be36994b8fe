//! A file of interactions in whichever format it turns out to be.

use std::io::Read;

use crate::error::ReadError;
use crate::header::{Sniffed, looks_like_header, named_columns, sniff, unnamed_columns};
use crate::jsonl;
use crate::lines::Lines;
use crate::options::OpenOptions;
use crate::ratings::RatingsBuilder;
use crate::recbole;
use crate::table::{RatingColumns, read_interactions};
use crate::text::parse_decimal;

/// As much of a file as is looked at to find out its format.
pub(crate) const START: usize = 1 << 16;

/// Formats that are told by their first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileFormat {
    /// Columns between separators.
    Separated,
    /// Columns with typed names.
    RecBole,
    /// One JSON object a line.
    JsonLines,
}

/// The format of a file, from its first bytes.
pub(crate) fn format_of(file: &str, start: &[u8]) -> Result<FileFormat, ReadError> {
    let text = start.trim_ascii_start();
    match text.first() {
        None => Err(ReadError::Empty { file: file.to_owned() }),
        Some(b'{') => Ok(FileFormat::JsonLines),
        Some(b'[') if text[1..].trim_ascii_start().first().is_some_and(|byte| b"{[]".contains(byte)) => {
            Err(ReadError::Unsupported {
                file: file.to_owned(),
                reason: "a JSON array cannot be read piece by piece; write one object a line (jq -c '.[]')"
                    .to_owned(),
            })
        }
        _ if recbole::is_header(text) => Ok(FileFormat::RecBole),
        _ if text.starts_with(b"PK\x03\x04") => Err(ReadError::Unsupported {
            file: file.to_owned(),
            reason: "an archive within an archive; unpack the outer one".to_owned(),
        }),
        _ => Ok(FileFormat::Separated),
    }
}

/// Reads all interactions of a stream into `builder`.
pub(crate) fn read_any(
    input: &mut dyn Read,
    label: &str,
    options: &OpenOptions,
    builder: &mut RatingsBuilder,
) -> Result<(), ReadError> {
    let mut lines = Lines::new(input, label);
    let start = lines.peek(START)?;
    match format_of(label, &start)? {
        FileFormat::JsonLines => {
            builder.report.format = "JSON Lines";
            jsonl::read_interactions(&mut lines, options, builder)
        }
        FileFormat::RecBole => {
            builder.report.format = "RecBole";
            recbole::read_interactions(&mut lines, options, builder)
        }
        FileFormat::Separated => {
            builder.report.format = "separated columns";
            read_separated(&mut lines, &start, options, builder)
        }
    }
}

fn read_separated(
    lines: &mut Lines<'_>,
    start: &[u8],
    options: &OpenOptions,
    builder: &mut RatingsBuilder,
) -> Result<(), ReadError> {
    let label = lines.file();
    let Sniffed { separator, rows } = sniff(label, start, options.separator.as_deref())?;
    let columns = if has_header(&rows, options) {
        skip_header(lines)?;
        named_columns(label, &rows[0], &options.columns)?
    } else {
        unnamed_columns(label, &rows, &options.columns)?
    };
    read_columns(lines, separator, columns, builder)
}

/// As [`read_interactions`]; without a column of ratings the data are implicit.
pub(crate) fn read_columns(
    lines: &mut Lines<'_>,
    separator: crate::fields::Separator,
    columns: RatingColumns,
    builder: &mut RatingsBuilder,
) -> Result<(), ReadError> {
    if columns.rating.is_none() {
        builder.set_implicit();
    }
    read_interactions(lines, separator, columns, builder)
}

/// Whether the first row names the columns: as given, because a name was recognised, or because a column of numbers
/// begins with something else.
fn has_header(rows: &[Vec<String>], options: &OpenOptions) -> bool {
    if let Some(given) = options.header {
        return given;
    }
    let first = &rows[0];
    let asked =
        [&options.columns.user, &options.columns.item, &options.columns.rating, &options.columns.time];
    if asked.into_iter().flatten().any(|name| first.contains(name) && name.parse::<usize>().is_err()) {
        return true;
    }
    let number = |text: &str| parse_decimal(text.as_bytes()).is_some();
    looks_like_header(first)
        || (rows.len() > 1
            && (0..first.len()).any(|at| {
                !number(&first[at])
                    && rows[1..].iter().all(|row| row.get(at).is_some_and(|text| number(text)))
            }))
}

/// Passes over blank lines and the header.
pub(crate) fn skip_header(lines: &mut Lines<'_>) -> Result<(), ReadError> {
    while let Some((_, line)) = lines.next_line()? {
        if !line.trim_ascii().is_empty() {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_apart() {
        assert_eq!(format_of("f", b" {\"user\": 1}").unwrap(), FileFormat::JsonLines);
        assert_eq!(format_of("f", b"user_id:token\titem_id:token\n").unwrap(), FileFormat::RecBole);
        assert_eq!(format_of("f", b"1::2::3::4\n").unwrap(), FileFormat::Separated);
        assert_eq!(format_of("f", b"userId,movieId\n").unwrap(), FileFormat::Separated);
        assert!(format_of("f", b"[{\"user\": 1}]").unwrap_err().to_string().contains("jq"));
        assert!(matches!(format_of("f", b" \n"), Err(ReadError::Empty { .. })));
    }

    #[test]
    fn headers_are_told_from_data() {
        let rows = |text: &str| -> Vec<Vec<String>> {
            text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect()
        };
        let options = OpenOptions::default();
        assert!(has_header(&rows("userId,movieId\n1,2"), &options));
        assert!(has_header(&rows("who,what,how\nann,x,3\nbob,y,4"), &options));
        assert!(!has_header(&rows("ann,x,3\nbob,y,4"), &options));
        assert!(!has_header(&rows("1,2,3"), &options));
        assert!(!has_header(
            &rows("user,item"),
            &OpenOptions { header: Some(false), ..OpenOptions::default() }
        ));
    }
}
