//! Python literals, in which the metadata of 2014 are written: `{'asin': '0001', 'related': {'also_viewed': ['B1']}, 'price': 9.5}`.
//!
//! Strict JSON is read as well, except that `true`, `false` and `null` may also be `True`, `False` and `None`.

use serde_json::{Map, Number, Value};

/// Brackets within brackets; deeper is refused, so that no line can exhaust the stack.
const DEEPEST: usize = 64;

/// Reads one literal, which must be all of `text`.
///
/// # Errors
/// What was expected where (a byte from 0).
pub fn parse(text: &str) -> Result<Value, String> {
    let mut reader = Reader { text, at: 0 };
    let value = reader.value(0)?;
    reader.space();
    if reader.at < text.len() { Err(reader.expected("the end")) } else { Ok(value) }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn expected(&self, what: &str) -> String {
        format!("expected {what} at byte {}", self.at)
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn space(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    /// Goes past a sign if it is next.
    fn eat(&mut self, sign: char) -> bool {
        self.space();
        let found = self.peek() == Some(sign);
        if found {
            self.at += sign.len_utf8();
        }
        found
    }

    fn value(&mut self, depth: usize) -> Result<Value, String> {
        if depth > DEEPEST {
            return Err(self.expected("fewer brackets within brackets"));
        }
        self.space();
        match self.peek() {
            Some('{') => self.object(depth),
            Some('[') => self.list('[', ']', depth),
            Some('(') => self.list('(', ')', depth),
            Some('\'' | '"') => self.string().map(Value::String),
            Some('u' | 'b') if self.text[self.at + 1..].starts_with(['\'', '"']) => {
                self.at += 1;
                self.string().map(Value::String)
            }
            Some(sign) if sign.is_ascii_digit() || matches!(sign, '-' | '+' | '.') => self.number(),
            _ => self.word(),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, String> {
        self.eat('{');
        let mut out = Map::new();
        while !self.eat('}') {
            self.space();
            let key = self.string()?;
            if !self.eat(':') {
                return Err(self.expected("`:`"));
            }
            out.insert(key, self.value(depth + 1)?);
            if !self.eat(',') {
                if self.eat('}') {
                    break;
                }
                return Err(self.expected("`,` or `}`"));
            }
        }
        Ok(Value::Object(out))
    }

    fn list(&mut self, open: char, close: char, depth: usize) -> Result<Value, String> {
        self.eat(open);
        let mut out = Vec::new();
        while !self.eat(close) {
            out.push(self.value(depth + 1)?);
            if !self.eat(',') {
                if self.eat(close) {
                    break;
                }
                return Err(self.expected("`,` or the end of a list"));
            }
        }
        Ok(Value::Array(out))
    }

    fn string(&mut self) -> Result<String, String> {
        let Some(quote @ ('\'' | '"')) = self.peek() else { return Err(self.expected("a string")) };
        self.at += 1;
        let mut out = String::new();
        loop {
            let sign = self.peek().ok_or_else(|| self.expected("the end of a string"))?;
            self.at += sign.len_utf8();
            match sign {
                _ if sign == quote => return Ok(out),
                '\\' => self.escape(&mut out)?,
                _ => out.push(sign),
            }
        }
    }

    fn escape(&mut self, out: &mut String) -> Result<(), String> {
        let sign = self.peek().ok_or_else(|| self.expected("a sign after `\\`"))?;
        self.at += sign.len_utf8();
        match sign {
            'n' => out.push('\n'),
            't' => out.push('\t'),
            'r' => out.push('\r'),
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            'x' => out.push(self.code(2)?),
            'u' => {
                let first = self.hex(4)?;
                // JSON writes what is beyond 16 bits as a pair.
                let pair = (0xd800..0xdc00).contains(&first) && self.text[self.at..].starts_with("\\u");
                let code = if pair {
                    self.at += 2;
                    let second = self.hex(4)?;
                    0x10000 + ((first - 0xd800) << 10) + second.wrapping_sub(0xdc00) % 0x400
                } else {
                    first
                };
                out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            'U' => out.push(self.code(8)?),
            '\'' | '"' | '\\' | '/' => out.push(sign),
            // Python keeps both signs of what is no escape.
            _ => out.extend(['\\', sign]),
        }
        Ok(())
    }

    fn code(&mut self, digits: usize) -> Result<char, String> {
        Ok(char::from_u32(self.hex(digits)?).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hex(&mut self, digits: usize) -> Result<u32, String> {
        let found = self.text.get(self.at..self.at + digits);
        let found = found.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let code = found.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let code = code.ok_or_else(|| self.expected("hexadecimal digits"))?;
        self.at += digits;
        Ok(code)
    }

    fn number(&mut self) -> Result<Value, String> {
        let rest = &self.text[self.at..];
        let end = rest
            .find(|sign: char| !(sign.is_ascii_alphanumeric() || matches!(sign, '-' | '+' | '.')))
            .unwrap_or(rest.len());
        // Python 2 marks long integers.
        let word = rest[..end].trim_end_matches(['L', 'l']);
        let whole = word.parse::<i64>().ok().map(Number::from);
        let number = whole.or_else(|| Number::from_f64(word.parse().ok()?));
        let number = number.ok_or_else(|| self.expected("a number"))?;
        self.at += end;
        Ok(Value::Number(number))
    }

    fn word(&mut self) -> Result<Value, String> {
        let rest = &self.text[self.at..];
        let words = [
            ("True", Value::Bool(true)),
            ("true", Value::Bool(true)),
            ("False", Value::Bool(false)),
            ("false", Value::Bool(false)),
            ("None", Value::Null),
            ("null", Value::Null),
            ("nan", Value::Null),
            ("NaN", Value::Null),
        ];
        for (word, value) in words {
            if rest.starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.expected("a value"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_of_metadata() {
        let line = r#"{'asin': '0000031852', 'title': "Girls' \"Tutu\" \xe9\u20ac", 'price': 3.17, 'salesRank': {'Toys': 211836},
            'related': {'also_viewed': ['B1', u'B2',]}, 'categories': [['Sports', 'Other']], 'none': None, 'n': 12L, 't': (1, -2.5e3)}"#;
        let expected = json!({
            "asin": "0000031852", "title": "Girls' \"Tutu\" \u{e9}\u{20ac}", "price": 3.17, "salesRank": {"Toys": 211_836},
            "related": {"also_viewed": ["B1", "B2"]}, "categories": [["Sports", "Other"]], "none": null, "n": 12, "t": [1, -2500.0],
        });
        assert_eq!(parse(line).unwrap(), expected);
    }

    #[test]
    fn strict_json_is_read_as_well() {
        let text = json!({"a": [1, 2.5, null, true], "b": "é\n\"\\ \u{1f600}", "c": {}}).to_string();
        assert_eq!(parse(&text).unwrap(), serde_json::from_str::<Value>(&text).unwrap());
        assert_eq!(parse(r#""\ud83d\ude00""#).unwrap(), json!("\u{1f600}"));
    }

    #[test]
    fn what_is_no_literal_is_refused() {
        for bad in
            ["", "{", "{'a' 1}", "['a' 'b']", "'open", "{'a': 1} x", "'\\x4'", "{1: 2}", "1.2.3", "'\\"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(parse(&"[".repeat(100_000)).unwrap_err().contains("brackets"));
    }
}
