//! External keys (any string) to dense internal numbers, and back.

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
#[derive(Clone, Debug, Default)]
pub struct Dictionary {
    keys: Vec<String>,
    /// Numbers by the hash of their keys, which stand in `keys` alone. Seeded anew in each process, so that nobody can choose keys that collide.
    numbers: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl PartialEq for Dictionary {
    fn eq(&self, other: &Self) -> bool {
        self.keys == other.keys
    }
}

impl Eq for Dictionary {}

impl Dictionary {
    /// Builds a dictionary from keys in order.
    ///
    /// # Errors
    /// Returns the first key that appears twice.
    pub fn from_keys(keys: Vec<String>) -> Result<Self, String> {
        let mut out = Self { numbers: HashTable::with_capacity(keys.len()), ..Self::default() };
        out.keys.reserve_exact(keys.len());
        for key in keys {
            if out.get(&key).is_some() {
                return Err(key);
            }
            out.add(key);
        }
        Ok(out)
    }

    /// The number of `key`, which is added at the end if it is new.
    pub fn intern(&mut self, key: &str) -> u32 {
        self.get(key).unwrap_or_else(|| self.add(key.to_owned()))
    }

    fn add(&mut self, key: String) -> u32 {
        let number = self.keys.len() as u32;
        let hash = self.hasher.hash_one(key.as_str());
        self.keys.push(key);
        let (keys, hasher) = (&self.keys, &self.hasher);
        let _ = self.numbers.insert_unique(hash, number, |&at| hasher.hash_one(keys[at as usize].as_str()));
        number
    }

    /// The number of `key`, if it is known.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(key);
        self.numbers.find(hash, |&at| self.keys[at as usize] == key).copied()
    }

    /// The key of a number, if it is in range.
    #[must_use]
    pub fn key(&self, number: u32) -> Option<&str> {
        self.keys.get(number as usize).map(String::as_str)
    }

    /// All keys, by number.
    #[must_use]
    pub fn keys(&self) -> &[String] {
        &self.keys
    }

    /// Number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// A 64-bit checksum of the keys in order, as 16 hexadecimal digits. Saved with a model, so that a model is never
    /// used with another catalogue's numbering.
    #[must_use]
    pub fn checksum(&self) -> String {
        let mut hash = Xxh3::new();
        for key in &self.keys {
            hash.update(&(key.len() as u64).to_le_bytes());
            hash.update(key.as_bytes());
        }
        format!("{:016x}", hash.digest())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_key_is_named() {
        assert_eq!(Dictionary::from_keys(vec!["a".into(), "b".into(), "a".into()]), Err("a".to_owned()));
    }

    #[test]
    fn the_checksum_tells_where_one_key_ends() {
        let one = Dictionary::from_keys(vec!["ab".into(), "c".into()]).unwrap();
        let two = Dictionary::from_keys(vec!["a".into(), "bc".into()]).unwrap();
        assert_ne!(one.checksum(), two.checksum());
    }
}
