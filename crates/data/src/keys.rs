//! Keys to numbers, fast for the whole numbers that most data sets use as keys.

use foldin_core::Dictionary;
use xxhash_rust::xxh3::xxh3_64;

use crate::text::decode;

/// Keys below this are looked up in a table by value: 16 MiB at most.
const TABLE: usize = 1 << 22;

/// Keys by number, in the making of a [`Dictionary`]: whole numbers are found in a table, words in an index of hashes.
#[derive(Default)]
pub(crate) struct Keys {
    keys: Vec<String>,
    /// Number + 1 of the key that is written as this index; 0 if not seen.
    table: Vec<u32>,
    index: Index,
    /// Files are often sorted by user: the number of the key asked for last.
    last: u32,
}

impl Keys {
    /// Starts with keys that are known already, in order.
    pub(crate) fn from_dictionary(dictionary: &Dictionary) -> Self {
        let mut out = Self::default();
        for key in dictionary.keys() {
            out.intern(key.as_bytes());
        }
        out
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(crate) fn into_dictionary(self) -> Dictionary {
        let mut out = Dictionary::default();
        for key in &self.keys {
            out.intern(key);
        }
        out
    }

    pub(crate) fn key(&self, number: u32) -> &str {
        self.keys.get(number as usize).map_or("", String::as_str)
    }

    /// The number of a key that is added if it is new.
    #[inline]
    pub(crate) fn intern(&mut self, key: &[u8]) -> u32 {
        match self.find(key) {
            Some(number) => number,
            None => self.add(key),
        }
    }

    /// The number of a known key.
    #[inline]
    pub(crate) fn find(&mut self, key: &[u8]) -> Option<u32> {
        if let Some(value) = small_number(key) {
            return self.table.get(value).filter(|number| **number != 0).map(|number| number - 1);
        }
        if self.keys.get(self.last as usize).is_none_or(|last| last.as_bytes() != key) {
            let text = decode(key);
            self.last = self.index.find(&text, &self.keys)?;
        }
        Some(self.last)
    }

    #[cold]
    fn add(&mut self, key: &[u8]) -> u32 {
        let number = self.keys.len() as u32;
        let text = decode(key);
        match small_number(key) {
            Some(value) => {
                if value >= self.table.len() {
                    self.table.resize((value + 1).next_power_of_two(), 0);
                }
                self.table[value] = number + 1;
            }
            None => self.index.add(&text, number),
        }
        self.keys.push(text.into_owned());
        number
    }
}

/// Numbers of words by hash: open addressing, at most half full.
#[derive(Default)]
struct Index {
    /// Hash, and number + 1 or 0 where the place is free. The length is a power of two, or 0.
    places: Vec<(u32, u32)>,
    used: usize,
}

impl Index {
    fn find(&self, word: &str, keys: &[String]) -> Option<u32> {
        let mask = self.places.len().checked_sub(1)?;
        let hash = hash(word);
        let mut at = hash as usize & mask;
        loop {
            match self.places[at] {
                (_, 0) => return None,
                (other, number) if other == hash && keys[number as usize - 1] == word => {
                    return Some(number - 1);
                }
                _ => at = (at + 1) & mask,
            }
        }
    }

    /// Adds a word that is not there.
    fn add(&mut self, word: &str, number: u32) {
        if self.used * 2 >= self.places.len() {
            let larger = vec![(0, 0); (self.places.len() * 2).max(64)];
            for (hash, number) in std::mem::replace(&mut self.places, larger) {
                if number != 0 {
                    self.place(hash, number);
                }
            }
        }
        self.place(hash(word), number + 1);
        self.used += 1;
    }

    fn place(&mut self, hash: u32, number: u32) {
        let mask = self.places.len() - 1;
        let mut at = hash as usize & mask;
        while self.places[at].1 != 0 {
            at = (at + 1) & mask;
        }
        self.places[at] = (hash, number);
    }
}

fn hash(word: &str) -> u32 {
    xxh3_64(word.as_bytes()) as u32
}

/// The value of a key that is a whole number below [`TABLE`], written without leading zeros (so that equal values are
/// equal keys).
#[inline]
fn small_number(key: &[u8]) -> Option<usize> {
    if key.is_empty() || key.len() > 7 || (key[0] == b'0' && key.len() > 1) {
        return None;
    }
    let mut value = 0usize;
    for &byte in key {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + digit as usize;
    }
    (value < TABLE).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn leading_zeros_make_another_key() {
        let mut keys = Keys::default();
        assert_eq!(keys.intern(b"7"), 0);
        assert_eq!(keys.intern(b"07"), 1);
        assert_eq!(keys.intern(b"7"), 0);
        assert_eq!(keys.find(b"8"), None);
        assert_eq!(keys.key(1), "07");
    }

    proptest! {
        #[test]
        fn table_and_index_change_nothing(words in proptest::collection::vec("[0-9]{0,8}|[a-c]{1,2}|[a-z]{3}", 0..400)) {
            let mut keys = Keys::default();
            let mut plain = Dictionary::default();
            for word in &words {
                prop_assert_eq!(keys.intern(word.as_bytes()), plain.intern(word));
            }
            for word in &words {
                prop_assert_eq!(keys.find(word.as_bytes()), plain.get(word));
            }
            prop_assert_eq!(keys.into_dictionary(), plain);
        }
    }
}
