//! Tables of items: separated by commas, a header, quotes where a field needs them.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use crate::error::VisionError;

/// The longest row that is read.
const LONGEST: usize = 16 << 20;

/// Hands each row to `take` as fields; the first row is the header. A quoted field may hold commas, line ends and doubled quotes.
///
/// # Errors
/// [`VisionError::Io`], and [`VisionError::Line`] for a quote that never closes, text that is not UTF-8, and whatever `take` says.
pub(crate) fn each_row(
    path: &Path,
    input: impl Read,
    mut take: impl FnMut(&[String]) -> Result<(), String>,
) -> Result<(), VisionError> {
    let mut input = BufReader::with_capacity(1 << 16, input);
    let (mut row, mut number, mut first) = (Vec::new(), 0, 1);
    loop {
        let before = row.len();
        input.read_until(b'\n', &mut row).map_err(VisionError::io(path))?;
        let bad = |problem: &str| VisionError::Line {
            path: path.to_owned(),
            line: first,
            problem: problem.to_owned(),
        };
        let ended = row.len() == before;
        number += usize::from(!ended);
        // A row goes on while a quote is open.
        let open = row.iter().filter(|&&byte| byte == b'"').count() % 2 == 1;
        if open && (ended || row.len() > LONGEST) {
            return Err(bad("a quote that never closes"));
        }
        if open {
            continue;
        }
        let text = std::str::from_utf8(&row).map_err(|_| bad("not UTF-8"))?;
        let text = text.trim_start_matches('\u{feff}').trim_end_matches(['\n', '\r']);
        if !text.is_empty() {
            take(&fields(text)).map_err(|problem| bad(&problem))?;
        }
        if ended {
            return Ok(());
        }
        row.clear();
        first = number + 1;
    }
}

fn fields(text: &str) -> Vec<String> {
    let (mut out, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut signs = text.chars().peekable();
    while let Some(sign) = signs.next() {
        match sign {
            '"' if quoted && signs.peek() == Some(&'"') => {
                signs.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => out.push(std::mem::take(&mut field)),
            _ => field.push(sign),
        }
    }
    out.push(field);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Result<Vec<Vec<String>>, VisionError> {
        let mut out = Vec::new();
        each_row(Path::new("items.csv"), text.as_bytes(), |row| {
            out.push(row.to_vec());
            Ok(())
        })?;
        Ok(out)
    }

    #[test]
    fn quotes_hold_commas_lines_and_quotes() {
        let found = rows("id,text\r\n1,\"a, \"\"b\"\"\nc\"\n\n2,\n").unwrap();
        assert_eq!(found, [vec!["id", "text"], vec!["1", "a, \"b\"\nc"], vec!["2", ""]]);
        assert_eq!(rows("a,b").unwrap(), [["a", "b"]]);
        assert!(rows("").unwrap().is_empty());
    }

    #[test]
    fn an_open_quote_is_an_error_with_its_line() {
        assert!(rows("a,b\n1,\"x\n2,y\n").unwrap_err().to_string().contains("line 2"));
    }
}
