//! Writing a data set in another format, with its side information.
//!
//! Beside the three files, `foldin.json` keeps what the format cannot say (the scale, how side information is encoded),
//! so that reading the folder again gives the same data set, bit for bit.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use foldin_core::{Dataset, Dictionary, FeatureValue, Features, Field, FieldKind, RawFeatures};
use serde_json::{Value, json};

use crate::layout::{SAVED_SCHEMA, SavedSchema};
use crate::side::decode_row;

/// A format to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `ratings.csv`, `users.csv`, `items.csv`, with headers.
    Csv,
    /// The same with tabs.
    Tsv,
    /// RecBole's `NAME.inter`, `NAME.user`, `NAME.item`.
    RecBole,
    /// `ratings.jsonl`, `users.jsonl`, `items.jsonl`.
    JsonLines,
}

impl Format {
    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Tsv => "tsv",
            Self::RecBole => "recbole",
            Self::JsonLines => "jsonl",
        }
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "csv" => Ok(Self::Csv),
            "tsv" => Ok(Self::Tsv),
            "recbole" => Ok(Self::RecBole),
            "jsonl" => Ok(Self::JsonLines),
            _ => Err(format!("`{word}` is none of: csv, tsv, recbole, jsonl")),
        }
    }
}

/// Why a data set was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConvertError {
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A text that the format has no way to write.
    #[error("the format {} cannot hold the {what} `{text}`; choose csv or jsonl", format.name())]
    Unwritable {
        /// The format.
        format: Format,
        /// What it is: a key or a value of side information.
        what: &'static str,
        /// The text.
        text: String,
    },
}

/// Writes `dataset` into `folder`, which is made if need be; returns the files written. Files that an earlier conversion
/// wrote there are replaced or removed, so that the folder holds one data set; all others stay.
///
/// # Errors
/// [`ConvertError::Io`] if a file cannot be written, [`ConvertError::Unwritable`] for a key with a tab or line end in a
/// format of tab-separated columns.
pub fn convert(dataset: &Dataset, folder: &Path, format: Format) -> Result<Vec<PathBuf>, ConvertError> {
    std::fs::create_dir_all(folder).map_err(|source| ConvertError::Io { path: folder.to_owned(), source })?;
    let (ratings, users, items) = match format {
        Format::Csv => ("ratings.csv".to_owned(), "users.csv".to_owned(), "items.csv".to_owned()),
        Format::Tsv => ("ratings.tsv".to_owned(), "users.tsv".to_owned(), "items.tsv".to_owned()),
        Format::JsonLines => ("ratings.jsonl".to_owned(), "users.jsonl".to_owned(), "items.jsonl".to_owned()),
        Format::RecBole => {
            let name: String = dataset
                .name
                .chars()
                .map(|letter| if letter == '/' || letter == '\\' { '-' } else { letter })
                .collect();
            (format!("{name}.inter"), format!("{name}.user"), format!("{name}.item"))
        }
    };
    let earlier = files_of_earlier_conversion(folder);
    let interactions = &dataset.interactions;
    let explicit = interactions.feedback().scale().is_some();
    let timed = interactions.times();

    let mut columns = vec![column("user", Type::Key), column("item", Type::Key)];
    columns.extend(explicit.then(|| column("rating", Type::Number)));
    columns.extend(timed.map(|_| column("timestamp", Type::Number)));
    let mut out = Table::create(folder.join(&ratings), format, columns)?;
    for (at, (user, item, value)) in interactions.by_user().triples().enumerate() {
        let key = |key: Option<&str>| Cell::Text(key.unwrap_or("").to_owned());
        let mut row = vec![key(dataset.users.key(user)), key(dataset.items.key(item))];
        row.extend(explicit.then(|| Cell::Number(value.to_string())));
        row.extend(timed.map(|times| Cell::Number(times[at].to_string())));
        out.row(row)?;
    }
    out.finish()?;

    write_side(folder.join(&users), format, "user", &dataset.users, None, &dataset.user_features)?;
    let titles = Some(&dataset.titles[..]);
    write_side(folder.join(&items), format, "item", &dataset.items, titles, &dataset.item_features)?;

    let files = [ratings, users, items];
    let saved = SavedSchema {
        format: 1,
        name: dataset.name.clone(),
        feedback: interactions.feedback(),
        user_fields: (**dataset.user_features.schema()).clone(),
        item_fields: (**dataset.item_features.schema()).clone(),
        files: files.to_vec(),
    };
    let path = folder.join(SAVED_SCHEMA);
    let text = serde_json::to_string_pretty(&saved).map_err(std::io::Error::from);
    text.and_then(|text| std::fs::write(&path, text)).map_err(|source| ConvertError::Io { path, source })?;
    for old in earlier.iter().filter(|old| !files.contains(old)) {
        let path = folder.join(old);
        std::fs::remove_file(&path).map_err(|source| ConvertError::Io { path, source })?;
    }
    Ok(files.iter().map(String::as_str).chain([SAVED_SCHEMA]).map(|file| folder.join(file)).collect())
}

/// Names of the files that are there and were written by a conversion before this one.
fn files_of_earlier_conversion(folder: &Path) -> Vec<String> {
    let text = std::fs::read(folder.join(SAVED_SCHEMA)).unwrap_or_default();
    let saved: Option<SavedSchema> = serde_json::from_slice(&text).ok();
    let files = saved.map(|saved| saved.files).unwrap_or_default();
    // Whatever the list says, nothing outside the folder is ours.
    let plain = |name: &String| Path::new(name).file_name().is_some_and(|file| file == name.as_str());
    files.into_iter().filter(|name| plain(name) && folder.join(name).is_file()).collect()
}

/// Keys, titles and side information; a title equal to its key is left out, as is every unknown value.
fn write_side(
    path: PathBuf,
    format: Format,
    key: &'static str,
    keys: &Dictionary,
    titles: Option<&[String]>,
    features: &Features,
) -> Result<(), ConvertError> {
    let fields = features.schema().fields();
    let mut columns = vec![column(key, Type::Key)];
    columns.extend(titles.map(|_| column("title", Type::Title)));
    columns.extend(fields.iter().map(|Field { name, kind }| Column {
        name: name.clone(),
        kind: match kind {
            FieldKind::Numeric { .. } => Type::Number,
            FieldKind::Category { .. } => Type::Word,
            FieldKind::MultiCategory { .. } => Type::Words,
        },
    }));
    let mut out = Table::create(path, format, columns)?;
    for (number, key) in keys.keys().enumerate() {
        let mut row = vec![Cell::Text(key.to_owned())];
        row.extend(
            titles
                .map(|titles| &titles[number])
                .map(|title| if title == key { Cell::Missing } else { Cell::Text(title.clone()) }),
        );
        let mut raw: RawFeatures = decode_row(features, number);
        row.extend(fields.iter().map(|field| match raw.remove(&field.name) {
            Some(FeatureValue::Number(number)) => Cell::Number(number.to_string()),
            Some(FeatureValue::Text(text)) => Cell::Text(text),
            Some(FeatureValue::List(list)) => Cell::List(list),
            None => Cell::Missing,
        }));
        out.row(row)?;
    }
    out.finish()
}

#[derive(Clone, Copy, PartialEq)]
enum Type {
    Key,
    Title,
    Number,
    Word,
    Words,
}

struct Column {
    name: String,
    kind: Type,
}

fn column(name: &str, kind: Type) -> Column {
    Column { name: name.to_owned(), kind }
}

enum Cell {
    Missing,
    Text(String),
    /// A number as it is written.
    Number(String),
    List(Vec<String>),
}

/// A table that is being written.
struct Table {
    out: BufWriter<File>,
    path: PathBuf,
    format: Format,
    columns: Vec<Column>,
}

impl Table {
    fn create(path: PathBuf, format: Format, columns: Vec<Column>) -> Result<Self, ConvertError> {
        let file = File::create(&path).map_err(|source| ConvertError::Io { path: path.clone(), source })?;
        let mut table = Self { out: BufWriter::new(file), path, format, columns };
        let header: Option<Vec<String>> = match format {
            Format::JsonLines => None,
            Format::Csv | Format::Tsv => {
                Some(table.columns.iter().map(|column| column.name.clone()).collect())
            }
            Format::RecBole => Some(table.columns.iter().map(recbole_name).collect()),
        };
        if let Some(header) = header {
            let cells =
                header.iter().map(|name| table.written("column", name)).collect::<Result<Vec<_>, _>>()?;
            table.line(&cells)?;
        }
        Ok(table)
    }

    fn row(&mut self, cells: Vec<Cell>) -> Result<(), ConvertError> {
        if self.format == Format::JsonLines {
            let mut object = serde_json::Map::new();
            for (column, cell) in self.columns.iter().zip(cells) {
                let value = match cell {
                    Cell::Missing => continue,
                    Cell::Text(text) => Value::String(text),
                    Cell::Number(text) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
                    Cell::List(list) => json!(list),
                };
                object.insert(column.name.clone(), value);
            }
            return self.text(&Value::Object(object).to_string());
        }
        let mut texts = Vec::with_capacity(cells.len());
        for (at, cell) in cells.into_iter().enumerate() {
            texts.push(match cell {
                Cell::Missing => String::new(),
                Cell::Number(text) => text,
                Cell::Text(text) if self.columns[at].kind == Type::Title => self.title(&text)?,
                Cell::Text(text) => self.written("key or value", &text)?,
                Cell::List(list) => self.list(&list)?,
            });
        }
        self.line(&texts)
    }

    /// Tabs and line ends in a title become spaces where they cannot be written.
    fn title(&self, text: &str) -> Result<String, ConvertError> {
        if self.format == Format::Csv {
            return self.written("title", text);
        }
        Ok(text.split(['\t', '\r', '\n']).map(str::trim).collect::<Vec<_>>().join(" "))
    }

    fn list(&self, list: &[String]) -> Result<String, ConvertError> {
        let between = if self.format == Format::RecBole { ' ' } else { '|' };
        let mut words = Vec::with_capacity(list.len());
        for word in list {
            let unwritable = if between == ' ' {
                word.contains(['_', '\t', '\n']) && word.contains(' ')
            } else {
                word.contains('|')
            };
            if unwritable || word.trim() != word || word.is_empty() {
                return Err(self.unwritable("value", word));
            }
            words.push(if between == ' ' { word.replace(' ', "_") } else { word.clone() });
        }
        self.written("value", &words.join(&between.to_string()))
    }

    /// A text as it stands between separators.
    fn written(&self, what: &'static str, text: &str) -> Result<String, ConvertError> {
        if self.format == Format::Csv {
            let plain = text.trim() == text && !text.contains([',', '"', '\n', '\r']);
            return Ok(if plain { text.to_owned() } else { format!("\"{}\"", text.replace('"', "\"\"")) });
        }
        if text.trim() != text || text.contains(['\t', '\n', '\r']) {
            return Err(self.unwritable(what, text));
        }
        Ok(text.to_owned())
    }

    fn unwritable(&self, what: &'static str, text: &str) -> ConvertError {
        ConvertError::Unwritable { format: self.format, what, text: text.to_owned() }
    }

    fn line(&mut self, cells: &[String]) -> Result<(), ConvertError> {
        self.text(&cells.join(if self.format == Format::Csv { "," } else { "\t" }))
    }

    fn text(&mut self, line: &str) -> Result<(), ConvertError> {
        writeln!(self.out, "{line}").map_err(|source| ConvertError::Io { path: self.path.clone(), source })
    }

    fn finish(mut self) -> Result<(), ConvertError> {
        self.out.flush().map_err(|source| ConvertError::Io { path: self.path, source })
    }
}

fn recbole_name(column: &Column) -> String {
    let name = match (column.kind, &*column.name) {
        (Type::Key, name) => format!("{name}_id"),
        (_, name) => name.to_owned(),
    };
    let kind = match column.kind {
        Type::Key | Type::Word => "token",
        Type::Title | Type::Words => "token_seq",
        Type::Number => "float",
    };
    format!("{name}:{kind}")
}
