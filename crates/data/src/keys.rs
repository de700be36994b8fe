//! Keys to numbers, fast for the whole numbers that most data sets use as keys.

use foldin_core::Dictionary;

use crate::text::decode;

/// Keys below this are looked up in a table by value: 16 MiB at most.
const TABLE: usize = 1 << 22;

/// A [`Dictionary`] in the making, with a table in front of it for keys that are small whole numbers.
#[derive(Default)]
pub(crate) struct Keys {
    dictionary: Dictionary,
    /// Number + 1 of the key that is written as this index; 0 if not seen.
    table: Vec<u32>,
}

impl Keys {
    /// Starts with keys that are known already, in order.
    pub(crate) fn from_dictionary(dictionary: Dictionary) -> Self {
        Self { dictionary, table: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.dictionary.len()
    }

    pub(crate) fn into_dictionary(self) -> Dictionary {
        self.dictionary
    }

    pub(crate) fn key(&self, number: u32) -> &str {
        self.dictionary.key(number).unwrap_or("")
    }

    /// The number of a key that is added if it is new.
    #[inline]
    pub(crate) fn intern(&mut self, key: &[u8]) -> u32 {
        let Some(value) = small_number(key) else {
            return self.dictionary.intern(&decode(key));
        };
        if let Some(&number) = self.table.get(value)
            && number != 0
        {
            return number - 1;
        }
        let number = self.dictionary.intern(&decode(key));
        self.remember(value, number);
        number
    }

    /// The number of a known key.
    #[inline]
    pub(crate) fn find(&mut self, key: &[u8]) -> Option<u32> {
        let Some(value) = small_number(key) else { return self.dictionary.get(&decode(key)) };
        if let Some(&number) = self.table.get(value)
            && number != 0
        {
            return Some(number - 1);
        }
        let number = self.dictionary.get(&decode(key))?;
        self.remember(value, number);
        Some(number)
    }

    fn remember(&mut self, value: usize, number: u32) {
        if value >= self.table.len() {
            self.table.resize((value + 1).next_power_of_two(), 0);
        }
        self.table[value] = number + 1;
    }
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
        fn the_table_changes_nothing(words in proptest::collection::vec("[0-9]{0,8}|[a-c]{1,2}", 0..60)) {
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
