//! External keys (any string) to dense internal numbers, and back.

use std::fmt::{self, Debug, Formatter};
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use xxhash_rust::xxh3::Xxh3;

/// A list of distinct external keys; the position of a key is its internal number.
///
/// # Example: keys in order of first appearance
/// ```
/// let mut items = foldin_core::Dictionary::default();
/// assert_eq!(items.intern("tt0114709"), 0);
/// assert_eq!(items.intern("tt0113497"), 1);
/// assert_eq!(items.intern("tt0114709"), 0);
/// assert_eq!(items.get("tt0113497"), Some(1));
/// assert_eq!(items.key(0), Some("tt0114709"));
/// assert_eq!(items.get("unknown"), None);
/// ```
#[derive(Clone, Default)]
pub struct Dictionary {
    /// All keys, one after the other: a look-up touches few lines of memory.
    text: String,
    /// Where each key ends.
    ends: Vec<usize>,
    /// Numbers by the hash of their keys. Seeded anew in each process, so that nobody can choose keys that collide.
    numbers: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl PartialEq for Dictionary {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.ends == other.ends
    }
}

impl Eq for Dictionary {}

impl Debug for Dictionary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys()).finish()
    }
}

impl Dictionary {
    /// Builds a dictionary from keys in order.
    ///
    /// # Errors
    /// Returns the first key that appears twice.
    pub fn from_keys(keys: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, String> {
        let keys = keys.into_iter();
        let (expected, _) = keys.size_hint();
        let mut out = Self {
            ends: Vec::with_capacity(expected),
            numbers: HashTable::with_capacity(expected),
            ..Self::default()
        };
        for key in keys {
            let key = key.as_ref();
            if out.get(key).is_some() {
                return Err(key.to_owned());
            }
            out.add(key);
        }
        Ok(out)
    }

    /// The number of `key`, which is added at the end if it is new.
    pub fn intern(&mut self, key: &str) -> u32 {
        self.get(key).unwrap_or_else(|| self.add(key))
    }

    fn add(&mut self, key: &str) -> u32 {
        let number = self.ends.len() as u32;
        let hash = self.hasher.hash_one(key);
        self.text.push_str(key);
        self.ends.push(self.text.len());
        let Self { text, ends, numbers, hasher } = self;
        let _ = numbers.insert_unique(hash, number, |&at| hasher.hash_one(part(text, ends, at as usize)));
        number
    }

    /// The number of `key`, if it is known.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(key);
        self.numbers.find(hash, |&at| part(&self.text, &self.ends, at as usize) == key).copied()
    }

    /// The key of a number, if it is in range.
    #[must_use]
    pub fn key(&self, number: u32) -> Option<&str> {
        let number = number as usize;
        (number < self.len()).then(|| part(&self.text, &self.ends, number))
    }

    /// All keys, by number.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &str> + DoubleEndedIterator + Clone {
        (0..self.len()).map(|at| part(&self.text, &self.ends, at))
    }

    /// Number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// A 64-bit checksum of the keys in order, as 16 hexadecimal digits. Saved with a model, so that a model is never
    /// used with another catalogue's numbering.
    #[must_use]
    pub fn checksum(&self) -> String {
        let mut hash = Xxh3::new();
        for key in self.keys() {
            hash.update(&(key.len() as u64).to_le_bytes());
            hash.update(key.as_bytes());
        }
        format!("{:016x}", hash.digest())
    }
}

fn part<'a>(text: &'a str, ends: &[usize], at: usize) -> &'a str {
    let start = if at == 0 { 0 } else { ends[at - 1] };
    &text[start..ends[at]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_key_is_named() {
        assert_eq!(Dictionary::from_keys(["a", "b", "a"]), Err("a".to_owned()));
    }

    #[test]
    fn the_checksum_tells_where_one_key_ends() {
        let one = Dictionary::from_keys(["ab", "c"]).unwrap();
        let two = Dictionary::from_keys(["a", "bc"]).unwrap();
        assert_ne!(one.checksum(), two.checksum());
        assert_ne!(one, two);
    }

    #[test]
    fn many_keys_are_found_and_no_others() {
        let keys: Vec<String> = (0..5000).map(|n| format!("key-{}", n * 7919)).collect();
        let dictionary = Dictionary::from_keys(&keys).unwrap();
        assert!(dictionary.keys().eq(keys.iter().map(String::as_str)));
        for (number, key) in keys.iter().enumerate() {
            assert_eq!(dictionary.get(key), Some(number as u32));
            assert_eq!(dictionary.key(number as u32), Some(&**key));
        }
        assert_eq!((dictionary.get("key-1"), dictionary.key(5000), dictionary.get("")), (None, None, None));
    }
}
