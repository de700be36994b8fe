//! RecBole's atomic files: tab-separated, with typed column names such as `user_id:token` or `rating:float`.

use crate::error::ReadError;
use crate::fields::{Fields, Separator};
use crate::header::named_columns;
use crate::interactions::read_columns;
use crate::lines::Lines;
use crate::options::OpenOptions;
use crate::ratings::RatingsBuilder;
use crate::side::Hint;
use crate::text::decode;

const TAB: Separator = Separator::Byte(b'\t');

/// Whether a text begins with RecBole's kind of header.
pub(crate) fn is_header(start: &[u8]) -> bool {
    let line = start.split(|&byte| byte == b'\n').next().unwrap_or(b"");
    let names = decode(line.trim_ascii()).into_owned();
    names.split('\t').all(|name| name.split_once(':').is_some_and(|(_, kind)| hint(kind).is_some()))
}

fn hint(kind: &str) -> Option<Hint> {
    match kind.trim() {
        "token" => Some(Hint::Word),
        "token_seq" => Some(Hint::Words),
        "float" => Some(Hint::Number),
        "float_seq" => Some(Hint::Numbers),
        _ => None,
    }
}

/// Names and types of the columns.
pub(crate) fn read_header(lines: &mut Lines<'_>) -> Result<(Vec<String>, Vec<Hint>), ReadError> {
    let label = lines.file();
    while let Some((_, line)) = lines.next_line()? {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let text = decode(line);
        let columns = text.split('\t').map(|column| column.split_once(':').unwrap_or((column, "token")));
        return Ok(columns
            .map(|(name, kind)| (name.trim().to_owned(), hint(kind).unwrap_or(Hint::Word)))
            .unzip());
    }
    Err(ReadError::Empty { file: label.to_owned() })
}

/// Reads an `.inter` file.
pub(crate) fn read_interactions(
    lines: &mut Lines<'_>,
    options: &OpenOptions,
    builder: &mut RatingsBuilder,
) -> Result<(), ReadError> {
    let (names, _) = read_header(lines)?;
    let columns = named_columns(lines.file(), &names, &options.columns)?;
    read_columns(lines, TAB, columns, builder)
}

/// Hands each row of a `.user` or `.item` file to `take`, as texts by column.
pub(crate) fn each_row(
    lines: &mut Lines<'_>,
    mut take: impl FnMut(u64, Vec<String>) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    let mut fields = Fields::default();
    while let Some((line, record)) = lines.next_line()? {
        if record.trim_ascii().is_empty() {
            continue;
        }
        fields.split(record, TAB, usize::MAX);
        take(line, (0..fields.len()).map(|at| decode(fields.raw(record, at)).into_owned()).collect())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_recognised_by_their_types() {
        assert!(is_header(b"user_id:token\titem_id:token\trating:float\n1\t2\t3\n"));
        assert!(is_header(b"item_id:token\tclass:token_seq"));
        for other in [&b"1::2::3"[..], b"user,item", b"", b"a:b\tc:d"] {
            assert!(!is_header(other));
        }
    }
}
