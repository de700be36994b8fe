//! Lines and records out of a stream, in one buffer that is reused.

use std::io::Read;

use memchr::{memchr, memchr2};

use crate::error::{LineProblem, ReadError};

const CHUNK: usize = 1 << 18;
/// No line of data is longer; a longer one means a file without line ends.
const MAX_LINE: usize = 1 << 26;
/// A quoted field may hold line ends, but not more text than this: a stray quotation mark must not swallow the file.
const MAX_QUOTED: usize = 1 << 20;

/// Reads a stream line by line. Line ends (`\n`, `\r\n`) and a byte order mark are taken off.
pub(crate) struct Lines<'a> {
    input: &'a mut dyn Read,
    file: &'a str,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    finished: bool,
    number: u64,
    next_number: u64,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(input: &'a mut dyn Read, file: &'a str) -> Self {
        Self {
            input,
            file,
            buffer: vec![0; CHUNK],
            start: 0,
            end: 0,
            finished: false,
            number: 0,
            next_number: 1,
        }
    }

    /// The file, as errors name it.
    pub(crate) fn file(&self) -> &'a str {
        self.file
    }

    /// A copy of the start of what was not read yet, at most `limit` bytes, without consuming it.
    pub(crate) fn peek(&mut self, limit: usize) -> Result<Vec<u8>, ReadError> {
        while self.end - self.start < limit && self.fill()? {}
        self.skip_mark();
        Ok(self.buffer[self.start..self.end.min(self.start + limit)].to_vec())
    }

    /// The next line with its number, from 1; `None` at the end.
    pub(crate) fn next_line(&mut self) -> Result<Option<(u64, &[u8])>, ReadError> {
        self.next(None)
    }

    /// The next record with the number of its first line. With `quotes`, a separator, it is more than a line if a field in
    /// quotation marks holds line ends.
    #[inline]
    pub(crate) fn next(&mut self, quotes: Option<u8>) -> Result<Option<(u64, &[u8])>, ReadError> {
        self.number = self.next_number;
        let mut searched = 0;
        let length = loop {
            let window = &self.buffer[self.start + searched..self.end];
            let found = match quotes {
                None => memchr(b'\n', window).map(|at| searched + at),
                Some(separator) => match memchr2(b'\n', b'"', window) {
                    Some(at) if window[at] == b'\n' => Some(searched + at),
                    Some(_) => break self.quoted_record(separator)?,
                    None => None,
                },
            };
            if let Some(at) = found {
                break at;
            }
            searched = self.end - self.start;
            if searched > MAX_LINE {
                return Err(self.line_error(LineProblem::TooLong { limit: MAX_LINE }));
            }
            if !self.fill()? {
                if self.number == 1 {
                    self.skip_mark();
                }
                if self.start == self.end {
                    return Ok(None);
                }
                break self.end - self.start;
            }
        };
        self.next_number += 1;
        if self.number == 1 {
            let before = self.start;
            self.skip_mark();
            let length = length - (self.start - before);
            return Ok(Some((1, self.take(length))));
        }
        Ok(Some((self.number, self.take(length))))
    }

    /// Cuts off `length` bytes and the line end behind them.
    #[inline]
    fn take(&mut self, length: usize) -> &[u8] {
        let from = self.start;
        self.start = (from + length + 1).min(self.end);
        let line = &self.buffer[from..from + length];
        line.strip_suffix(b"\r").unwrap_or(line)
    }

    /// Length of a record in which a quotation mark was seen.
    fn quoted_record(&mut self, separator: u8) -> Result<usize, ReadError> {
        let mut state = QuoteState::FieldStart;
        let mut at = 0;
        loop {
            while self.start + at < self.end {
                let byte = self.buffer[self.start + at];
                if byte == b'\n' {
                    if state != QuoteState::Quoted {
                        return Ok(at);
                    }
                    self.next_number += 1;
                }
                state = state.after(byte, separator);
                at += 1;
            }
            if at > MAX_QUOTED || !self.fill()? {
                if state == QuoteState::Quoted {
                    // Only the first line is to blame, so that the rest can still be read with `skip_bad_lines`.
                    return Ok(self.first_line_length());
                }
                return Ok(at);
            }
        }
    }

    fn first_line_length(&mut self) -> usize {
        self.next_number = self.number;
        let rest = &self.buffer[self.start..self.end];
        memchr(b'\n', rest).unwrap_or(rest.len())
    }

    /// Reads more behind what is there; false at the end of the stream.
    fn fill(&mut self) -> Result<bool, ReadError> {
        if self.finished {
            return Ok(false);
        }
        if self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            if self.end * 2 > self.buffer.len() {
                self.buffer.resize(self.buffer.len() * 2, 0);
            }
        }
        loop {
            match self.input.read(&mut self.buffer[self.end..]) {
                Ok(0) => {
                    self.finished = true;
                    return Ok(false);
                }
                Ok(count) => {
                    self.end += count;
                    return Ok(true);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    // What was unpacked before the damage counts as read.
                    let whole = memchr::memchr_iter(b'\n', &self.buffer[self.start..self.end]).count() as u64;
                    return Err(ReadError::io_in_line(self.file, error, Some(self.number.max(1) + whole)));
                }
            }
        }
    }

    fn skip_mark(&mut self) {
        if self.next_number <= 2 && self.buffer[self.start..self.end].starts_with(b"\xef\xbb\xbf") {
            self.start += 3;
        }
    }

    fn line_error(&self, problem: LineProblem) -> ReadError {
        ReadError::Line { file: self.file.to_owned(), line: self.number, problem }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum QuoteState {
    FieldStart,
    Plain,
    Quoted,
    QuoteInQuoted,
}

impl QuoteState {
    fn after(self, byte: u8, separator: u8) -> Self {
        match (self, byte) {
            (Self::Quoted, b'"') => Self::QuoteInQuoted,
            (Self::Quoted, _) => Self::Quoted,
            (Self::FieldStart | Self::QuoteInQuoted, b'"') => Self::Quoted,
            (_, byte) if byte == separator => Self::FieldStart,
            _ => Self::Plain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Gives one byte at a time, so that every boundary falls between two reads.
    struct Drip<'a>(&'a [u8]);

    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let Some((&first, rest)) = self.0.split_first() else { return Ok(0) };
            buffer[0] = first;
            self.0 = rest;
            Ok(1)
        }
    }

    fn lines(text: &[u8]) -> Vec<Vec<u8>> {
        let mut input = Drip(text);
        let mut lines = Lines::new(&mut input, "test");
        let mut out = Vec::new();
        while let Some((_, line)) = lines.next_line().unwrap() {
            out.push(line.to_vec());
        }
        out
    }

    fn records(text: &[u8]) -> Vec<(u64, Vec<u8>)> {
        let mut input = text;
        let mut lines = Lines::new(&mut input, "test");
        let mut out = Vec::new();
        while let Some((number, line)) = lines.next(Some(b',')).unwrap() {
            out.push((number, line.to_vec()));
        }
        out
    }

    #[test]
    fn ends_and_marks_are_taken_off() {
        assert_eq!(lines(b"\xef\xbb\xbfa\r\nb\n\nc"), [&b"a"[..], b"b", b"", b"c"]);
        assert_eq!(lines(b"\xef\xbb\xbf"), Vec::<Vec<u8>>::new());
        assert_eq!(lines(b"\n"), [b""]);
    }

    #[test]
    fn peeking_consumes_nothing() {
        let mut input = &b"one\ntwo\n"[..];
        let mut lines = Lines::new(&mut input, "test");
        assert_eq!(lines.peek(5).unwrap(), b"one\nt");
        assert_eq!(lines.next_line().unwrap(), Some((1, &b"one"[..])));
    }

    #[test]
    fn quoted_fields_hold_line_ends() {
        let text = b"a,\"b\nc\",d\ne,f\"g\nh\n";
        let expected = [(1, b"a,\"b\nc\",d".to_vec()), (3, b"e,f\"g".to_vec()), (4, b"h".to_vec())];
        assert_eq!(records(text), expected);
    }

    #[test]
    fn a_quote_never_closed_costs_one_line() {
        assert_eq!(records(b"\"a\nb\nc"), [(1, b"\"a".to_vec()), (2, b"b".to_vec()), (3, b"c".to_vec())]);
    }

    proptest! {
        #[test]
        fn lines_join_to_the_text(text in "[a-c\n]{0,60}") {
            let joined = lines(text.as_bytes()).join(&b'\n');
            prop_assert_eq!(joined, text.strip_suffix('\n').unwrap_or(&text).as_bytes());
        }
    }
}
