//! Tables of users and items in any format, with whatever columns they have.

use std::io::Read;

use foldin_core::{FeatureSchema, FeatureValue, Field, FieldKind, RawFeatures};
use serde_json::Value;

use crate::error::{LineProblem, ReadError};
use crate::fields::Fields;
use crate::header::{TITLE, by_alias, key_column, normalise, sniff};
use crate::interactions::{FileFormat, START, format_of};
use crate::jsonl::{json_problem, text};
use crate::lines::Lines;
use crate::recbole;
use crate::report::ReadReport;
use crate::side::{Hint, SideTable};
use crate::text::{decode, parse_decimal, year_of_title};

/// What a table is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Users,
    Items,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Users => "user",
            Self::Items => "item",
        }
    }
}

/// A table as it stands in the file.
struct RawTable {
    names: Vec<String>,
    /// The type of a column where the file says so.
    hints: Vec<Option<Hint>>,
    /// Line and cells; fewer cells than names if the rest is missing.
    rows: Vec<(u64, Vec<Option<FeatureValue>>)>,
    /// What stands between the words of a cell that holds several.
    between: char,
}

/// Reads a table. The fields are encoded as in `saved`, or else as their values suggest.
pub(crate) fn read_table(
    input: &mut dyn Read,
    label: &str,
    kind: Kind,
    saved: Option<&FeatureSchema>,
    report: &mut ReadReport,
) -> Result<SideTable, ReadError> {
    let mut lines = Lines::new(input, label);
    let start = lines.peek(START)?;
    let raw = match format_of(label, &start)? {
        FileFormat::JsonLines => read_objects(&mut lines)?,
        FileFormat::RecBole => read_recbole(&mut lines)?,
        FileFormat::Separated => read_separated(&mut lines, &start)?,
    };
    raw.into_side(label, kind, saved, report)
}

fn read_separated(lines: &mut Lines<'_>, start: &[u8]) -> Result<RawTable, ReadError> {
    let label = lines.file();
    // A table of keys alone has a single column, and then any separator does.
    let separator = match sniff(label, start, None) {
        Ok(sniffed) => sniffed.separator,
        Err(ReadError::WrongSeparator { .. }) => crate::fields::Separator::Byte(b','),
        Err(other) => return Err(other),
    };
    let mut fields = Fields::default();
    let mut names: Vec<String> = Vec::new();
    let mut rows = Vec::new();
    while let Some((line, record)) = lines.next(separator.quotes())? {
        if record.trim_ascii().is_empty() {
            continue;
        }
        fields.split(record, separator, usize::MAX);
        if fields.open_quote(record) {
            return Err(ReadError::Line { file: label.to_owned(), line, problem: LineProblem::OpenQuote });
        }
        let cells = (0..fields.len()).map(|at| decode(&fields.value(record, at)).into_owned());
        if names.is_empty() {
            names = cells.collect();
        } else {
            rows.push((line, cells.map(present).collect()));
        }
    }
    Ok(RawTable { hints: vec![None; names.len()], names, rows, between: '|' })
}

fn present(text: String) -> Option<FeatureValue> {
    (!text.is_empty()).then_some(FeatureValue::Text(text))
}

fn read_recbole(lines: &mut Lines<'_>) -> Result<RawTable, ReadError> {
    let (names, hints) = recbole::read_header(lines)?;
    let mut rows = Vec::new();
    recbole::each_row(lines, |line, cells| {
        rows.push((line, cells.into_iter().map(present).collect()));
        Ok(())
    })?;
    Ok(RawTable { names, hints: hints.into_iter().map(Some).collect(), rows, between: ' ' })
}

fn read_objects(lines: &mut Lines<'_>) -> Result<RawTable, ReadError> {
    let label = lines.file();
    let mut out = RawTable { names: Vec::new(), hints: Vec::new(), rows: Vec::new(), between: '|' };
    while let Some((line, record)) = lines.next_line()? {
        if record.trim_ascii().is_empty() {
            continue;
        }
        let object: serde_json::Map<String, Value> = serde_json::from_slice(record).map_err(|error| {
            ReadError::Line { file: label.to_owned(), line, problem: json_problem(&error) }
        })?;
        let mut row = vec![None; out.names.len()];
        for (name, value) in object {
            let Some((hint, value)) = json_cell(value) else { continue };
            let at = out.names.iter().position(|known| *known == name).unwrap_or_else(|| {
                out.names.push(name);
                out.hints.push(Some(hint));
                row.push(None);
                out.names.len() - 1
            });
            // A number in one object and a word in another: words hold both.
            if out.hints[at] == Some(Hint::Number) && hint != Hint::Number {
                out.hints[at] = Some(hint);
            }
            row[at] = Some(value);
        }
        out.rows.push((line, row));
    }
    Ok(out)
}

fn json_cell(value: Value) -> Option<(Hint, FeatureValue)> {
    match value {
        Value::Number(number) => Some((Hint::Number, FeatureValue::Number(number.as_f64()?))),
        Value::String(word) => present(word).map(|value| (Hint::Word, value)),
        Value::Bool(flag) => Some((Hint::Word, FeatureValue::Text(flag.to_string()))),
        Value::Array(list) => {
            Some((Hint::Words, FeatureValue::List(list.iter().filter_map(text).collect::<Vec<_>>())))
        }
        Value::Null | Value::Object(_) => None,
    }
}

impl RawTable {
    fn into_side(
        self,
        label: &str,
        kind: Kind,
        saved: Option<&FeatureSchema>,
        report: &mut ReadReport,
    ) -> Result<SideTable, ReadError> {
        let key_at =
            key_column(&self.names, kind == Kind::Users).ok_or_else(|| ReadError::MissingColumn {
                file: label.to_owned(),
                what: kind.word(),
                columns: self.names.clone(),
            })?;
        let title_at = (kind == Kind::Items).then(|| by_alias(&self.names, TITLE)).flatten();
        let columns: Vec<(usize, String, Hint)> = (0..self.names.len())
            .filter(|at| *at != key_at && Some(*at) != title_at)
            .filter_map(|at| self.column(at, saved))
            .collect();
        let year_from_title = match saved {
            Some(_) => false,
            None => title_at.is_some() && !columns.iter().any(|(_, name, _)| name == "year"),
        };
        let mut table = SideTable::default();
        let between = self.between;
        for (line, mut cells) in self.rows {
            let mut take = |at: usize| cells.get_mut(at).and_then(Option::take);
            let key = take(key_at).map(plain).unwrap_or_default();
            if key.is_empty() {
                let problem = LineProblem::EmptyKey { what: kind.word() };
                return Err(ReadError::Line { file: label.to_owned(), line, problem });
            }
            let title = title_at.and_then(&mut take).map(plain).unwrap_or_default();
            let mut row = RawFeatures::new();
            for (at, name, hint) in &columns {
                if let Some(value) = take(*at).and_then(|value| typed(value, *hint, between, name, saved)) {
                    row.insert(name.clone(), value);
                }
            }
            if year_from_title && let Some(year) = year_of_title(&title) {
                row.insert("year".to_owned(), FeatureValue::Number(f64::from(year)));
            }
            if !table.push(&key, title, row) {
                return Err(ReadError::RepeatedKey { file: label.to_owned(), line, key });
            }
        }
        match saved {
            Some(schema) => table.fields = schema.fields().to_vec(),
            None => {
                let mut hints: Vec<(String, Hint)> =
                    columns.into_iter().map(|(_, name, hint)| (name, hint)).collect();
                if table.rows.iter().any(|row| row.contains_key("year")) && year_from_title {
                    hints.push(("year".to_owned(), Hint::Number));
                }
                table.derive_fields(&hints, report);
            }
        }
        Ok(table)
    }

    /// Name and type of a column of side information; `None` if the saved schema does not have it.
    fn column(&self, at: usize, saved: Option<&FeatureSchema>) -> Option<(usize, String, Hint)> {
        if let Some(schema) = saved {
            let field = schema.fields().iter().find(|field| field.name == self.names[at])?;
            let hint = match field.kind {
                FieldKind::Numeric { .. } => Hint::Number,
                FieldKind::Category { .. } => Hint::Word,
                FieldKind::MultiCategory { .. } => Hint::Words,
            };
            return Some((at, field.name.clone(), hint));
        }
        let name = canonical(&self.names[at]);
        let hint = match &*name {
            "age" | "year" => Hint::Number,
            "genres" => Hint::Words,
            _ => self.hints[at].unwrap_or_else(|| self.guess(at)),
        };
        Some((at, name, hint))
    }

    /// The type of a column of texts.
    fn guess(&self, at: usize) -> Hint {
        let texts = || {
            self.rows.iter().filter_map(move |(_, cells)| match cells.get(at) {
                Some(Some(FeatureValue::Text(text))) => Some(text.as_str()),
                _ => None,
            })
        };
        // A code is a name that happens to be written in digits.
        let name = normalise(&self.names[at]);
        let code = ["id", "code", "no", "zip", "number"].iter().any(|ending| name.ends_with(ending));
        if !code && texts().all(|text| parse_decimal(text.as_bytes()).is_some_and(f64::is_finite)) {
            Hint::Number
        } else if texts().any(|text| text.contains('|')) {
            Hint::Words
        } else {
            Hint::Word
        }
    }
}

/// One name for what files call differently.
fn canonical(name: &str) -> String {
    match &*normalise(name) {
        "genre" | "genres" | "class" | "classes" => "genres".to_owned(),
        "year" | "releaseyear" | "movieyear" => "year".to_owned(),
        "sex" | "gender" => "gender".to_owned(),
        "age" => "age".to_owned(),
        _ => name.to_owned(),
    }
}

fn plain(value: FeatureValue) -> String {
    match value {
        FeatureValue::Text(text) => text,
        FeatureValue::Number(number) => number.to_string(),
        FeatureValue::List(list) => list.join(" "),
    }
}

/// A cell as its column's type wants it; `None` if it cannot be that, which counts as unknown.
fn typed(
    value: FeatureValue,
    hint: Hint,
    between: char,
    name: &str,
    saved: Option<&FeatureSchema>,
) -> Option<FeatureValue> {
    match (hint, value) {
        (Hint::Number, FeatureValue::Text(text)) => {
            parse_decimal(text.as_bytes()).filter(|number| number.is_finite()).map(FeatureValue::Number)
        }
        (Hint::Number, FeatureValue::List(_)) => None,
        (Hint::Word, FeatureValue::Number(number)) => Some(FeatureValue::Text(number.to_string())),
        (Hint::Words, FeatureValue::Text(text)) => {
            let known = saved.and_then(|schema| schema.fields().iter().find(|field| field.name == name));
            Some(FeatureValue::List(split_words(&text, between, known)))
        }
        (Hint::Words, FeatureValue::Number(number)) => Some(FeatureValue::List(vec![number.to_string()])),
        (_, value) => Some(value),
    }
}

/// The words of a cell; `(no genres listed)` is none. Where spaces stand between words, an underscore may stand for the
/// space within one: it is undone if the saved schema has the word with a space.
fn split_words(text: &str, between: char, known: Option<&Field>) -> Vec<String> {
    let values = match known.map(|field| &field.kind) {
        Some(FieldKind::MultiCategory { values }) if between == ' ' => &values[..],
        _ => &[],
    };
    let words = text.split(between).map(str::trim).filter(|word| !word.is_empty());
    if text.starts_with('(') && text.ends_with(')') {
        return Vec::new();
    }
    words
        .map(|word| {
            let spaced = values.iter().find(|value| value.replace(' ', "_") == word);
            spaced.map_or_else(|| word.to_owned(), Clone::clone)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, kind: Kind) -> (SideTable, ReadReport) {
        let mut report = ReadReport::default();
        let table = read_table(&mut text.as_bytes(), "items", kind, None, &mut report).unwrap();
        (table, report)
    }

    fn names(table: &SideTable) -> Vec<&str> {
        table.fields.iter().map(|field| field.name.as_str()).collect()
    }

    #[test]
    fn films_have_genres_and_the_year_of_their_title() {
        let (table, _) = read(
            "movieId,title,genres\n7,\"Moon, The (1999)\",Drama|Comedy\n9,Sun (2003),(no genres listed)\n",
            Kind::Items,
        );
        assert_eq!(table.titles, ["Moon, The (1999)", "Sun (2003)"]);
        assert_eq!(names(&table), ["genres", "year"]);
        assert_eq!(table.fields[0].kind.width(), 2);
        assert_eq!(table.rows[1]["genres"], FeatureValue::List(vec![]));
        assert_eq!(table.rows[0]["year"], FeatureValue::Number(1999.0));
    }

    #[test]
    fn recbole_tables_name_their_types() {
        let (table, report) = read(
            "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\tvector:float_seq\n\
             1\tA  Film\t1995\tDrama Sci-Fi\t1 2\n2\tOther\t1996\tDrama\t3\n",
            Kind::Items,
        );
        assert_eq!(table.titles[0], "A  Film");
        assert_eq!(names(&table), ["year", "genres"]);
        assert!(report.notes[0].contains("vector"), "{:?}", report.notes);
    }

    #[test]
    fn objects_give_lists_numbers_and_words() {
        let (table, _) = read(
            "{\"user\": 5, \"age\": 31, \"likes\": [\"tea\", \"rain\"], \"town\": \"Ulm\"}\n\
             {\"town\": \"Bonn\", \"user\": \"x\", \"age\": null}\n",
            Kind::Users,
        );
        assert_eq!(table.keys.keys().collect::<Vec<_>>(), ["5", "x"]);
        assert_eq!(names(&table), ["age", "likes", "town"]);
        assert!(!table.rows[1].contains_key("age"));
    }

    #[test]
    fn a_table_may_hold_keys_alone() {
        let (table, _) = read("user\nann\nbob\n", Kind::Users);
        assert_eq!((table.keys.len(), table.fields.len()), (2, 0));
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        for (text, expected) in [
            ("item,colour\n1,red\n1,blue\n", "line 3: `1` is described twice"),
            ("colour,size\nred,1\n", "no column for the item"),
            ("item,colour\n,red\n", "line 2: the item is empty"),
            ("{\"item\": 1}\n{\n", "line 2: not a JSON object"),
            ("", "is empty"),
        ] {
            let mut report = ReadReport::default();
            let error =
                read_table(&mut text.as_bytes(), "items", Kind::Items, None, &mut report).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
