//! A record cut into fields.

use std::borrow::Cow;

use memchr::memmem;

/// What stands between the fields of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Separator {
    /// One byte.
    Byte(u8),
    /// `::`, as in MovieLens 1M and 10M.
    Colons,
    /// Any number of spaces and tabs.
    Spaces,
}

impl Separator {
    /// The separators that are tried where none is given, in this order.
    pub(crate) const CANDIDATES: [Self; 6] =
        [Self::Colons, Self::Byte(b'\t'), Self::Byte(b','), Self::Byte(b';'), Self::Byte(b'|'), Self::Spaces];

    /// Reads a separator as it is given on the command line.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "::" => Some(Self::Colons),
            "tab" | "\\t" => Some(Self::Byte(b'\t')),
            "space" | "spaces" | " " => Some(Self::Spaces),
            _ if text.len() == 1 && !matches!(text, "\n" | "\r" | "\"") => {
                Some(Self::Byte(text.as_bytes()[0]))
            }
            _ => None,
        }
    }

    /// The separator as it is given on the command line.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Byte(b'\t') => "tab".to_owned(),
            Self::Byte(byte) => char::from(byte).to_string(),
            Self::Colons => "::".to_owned(),
            Self::Spaces => "space".to_owned(),
        }
    }

    /// Whether fields may stand in quotation marks: what comma-separated files do, and tab-separated ones do not.
    pub(crate) fn quotes(self) -> Option<u8> {
        match self {
            Self::Byte(byte @ (b',' | b';' | b'|')) => Some(byte),
            _ => None,
        }
    }
}

/// Where the fields of a record lie; reused from line to line.
#[derive(Default)]
pub(crate) struct Fields {
    ranges: Vec<(u32, u32)>,
    quoted: bool,
}

impl Fields {
    /// Cuts `record`. With `limit`, what follows the field of that number is not looked at.
    #[inline]
    pub(crate) fn split(&mut self, record: &[u8], separator: Separator, limit: usize) {
        self.ranges.clear();
        self.quoted = false;
        match separator {
            Separator::Byte(byte) => self.split_byte(record, byte, limit, separator.quotes().is_some()),
            Separator::Colons => {
                let (mut start, mut at) = (0, 0);
                while at + 1 < record.len() {
                    if record[at] != b':' || record[at + 1] != b':' {
                        at += 1;
                        continue;
                    }
                    self.ranges.push((start as u32, at as u32));
                    at += 2;
                    start = at;
                    if self.ranges.len() == limit {
                        return;
                    }
                }
                self.ranges.push((start as u32, record.len() as u32));
            }
            Separator::Spaces => {
                let mut start = None;
                for (at, byte) in record.iter().enumerate() {
                    match (start, matches!(byte, b' ' | b'\t')) {
                        (None, false) => start = Some(at as u32),
                        (Some(from), true) => {
                            self.ranges.push((from, at as u32));
                            start = None;
                            if self.ranges.len() == limit {
                                return;
                            }
                        }
                        _ => {}
                    }
                }
                if let Some(from) = start {
                    self.ranges.push((from, record.len() as u32));
                }
            }
        }
    }

    #[inline]
    fn split_byte(&mut self, record: &[u8], separator: u8, limit: usize, quotes: bool) {
        let mut start = 0;
        let mut at = 0;
        loop {
            if quotes && record.get(at) == Some(&b'"') {
                self.quoted = true;
                at = closing_quote(record, at).min(record.len());
            }
            while at < record.len() && record[at] != separator {
                at += 1;
            }
            self.ranges.push((start as u32, at as u32));
            if at >= record.len() || self.ranges.len() == limit {
                return;
            }
            at += 1;
            start = at;
        }
    }

    /// Number of fields that were cut.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.ranges.len()
    }

    /// A field as it stands, without spaces around it and without enclosing quotation marks. Empty if there is none.
    #[inline]
    pub(crate) fn raw<'r>(&self, record: &'r [u8], number: usize) -> &'r [u8] {
        let Some(&(from, to)) = self.ranges.get(number) else { return b"" };
        let field = &record[from as usize..to as usize];
        // Most fields are neither quoted nor padded.
        match field {
            [first, .., last] if *first > b'"' && *last > b'"' => field,
            _ => match field.trim_ascii() {
                [b'"', inner @ .., b'"'] if self.quoted => inner,
                trimmed => trimmed,
            },
        }
    }

    /// A field with doubled quotation marks undone.
    #[inline]
    pub(crate) fn value<'r>(&self, record: &'r [u8], number: usize) -> Cow<'r, [u8]> {
        let raw = self.raw(record, number);
        if self.quoted { undouble(raw) } else { Cow::Borrowed(raw) }
    }

    /// Whether a field opens a quotation mark that is not closed.
    pub(crate) fn open_quote(&self, record: &[u8]) -> bool {
        self.quoted
            && self.ranges.iter().any(|&(from, to)| {
                let field = &record[from as usize..to as usize];
                field.first() == Some(&b'"') && closing_quote(field, 0) > field.len()
            })
    }
}

/// Quotation marks that stand twice, once.
fn undouble(raw: &[u8]) -> Cow<'_, [u8]> {
    if memmem::find(raw, b"\"\"").is_none() {
        return Cow::Borrowed(raw);
    }
    let mut out = Vec::with_capacity(raw.len());
    let mut bytes = raw.iter();
    while let Some(&byte) = bytes.next() {
        out.push(byte);
        if byte == b'"' && bytes.as_slice().first() == Some(&b'"') {
            bytes.next();
        }
    }
    Cow::Owned(out)
}

/// Position behind the quotation mark that closes the one at `at`; one more than the length if there is none.
fn closing_quote(record: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while let Some(found) = memchr::memchr(b'"', record.get(at..).unwrap_or(b"")) {
        at += found + 1;
        if record.get(at) != Some(&b'"') {
            return at;
        }
        at += 1;
    }
    record.len() + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(record: &str, separator: Separator) -> Vec<String> {
        let mut fields = Fields::default();
        fields.split(record.as_bytes(), separator, usize::MAX);
        (0..fields.len())
            .map(|number| String::from_utf8(fields.value(record.as_bytes(), number).into_owned()).unwrap())
            .collect()
    }

    #[test]
    fn every_separator_cuts() {
        assert_eq!(
            split("1::Star Wars: A (1977)::Drama", Separator::Colons),
            ["1", "Star Wars: A (1977)", "Drama"]
        );
        assert_eq!(split(" 1  2\t3 ", Separator::Spaces), ["1", "2", "3"]);
        assert_eq!(split("1\t\t\"3", Separator::Byte(b'\t')), ["1", "", "\"3"]);
        assert_eq!(split("1, 2 ,", Separator::Byte(b',')), ["1", "2", ""]);
    }

    #[test]
    fn quotes_enclose_separators_and_quotes() {
        let record = r#"7,"American ""President"", The (1995)",x"y"z"#;
        assert_eq!(
            split(record, Separator::Byte(b',')),
            ["7", "American \"President\", The (1995)", "x\"y\"z"]
        );
        let mut fields = Fields::default();
        fields.split(b"a,\"b,c", Separator::Byte(b','), usize::MAX);
        assert!(fields.open_quote(b"a,\"b,c"));
    }

    #[test]
    fn a_limit_stops_early() {
        let mut fields = Fields::default();
        fields.split(b"1,2,3,4", Separator::Byte(b','), 2);
        assert_eq!(fields.len(), 2);
        assert_eq!(fields.raw(b"1,2,3,4", 1), b"2");
    }

    proptest! {
        #[test]
        fn nothing_panics(record in proptest::collection::vec(prop_oneof![Just(b'"'), Just(b','), Just(b':'), Just(b' '), any::<u8>()], 0..40)) {
            for separator in Separator::CANDIDATES {
                let mut fields = Fields::default();
                fields.split(&record, separator, usize::MAX);
                for number in 0..=fields.len() {
                    let _ = fields.value(&record, number);
                }
                let _ = fields.open_quote(&record);
            }
        }

        #[test]
        fn quoted_fields_return(words in proptest::collection::vec("[a-c\", ]{0,6}", 1..6)) {
            let record = words.iter().map(|word| format!("\"{}\"", word.replace('"', "\"\""))).collect::<Vec<_>>().join(",");
            prop_assert_eq!(split(&record, Separator::Byte(b',')), words);
        }
    }
}
