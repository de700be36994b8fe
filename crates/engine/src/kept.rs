//! What is kept of users who were asked for lately, the least useful going first.
//!
//! What was written is never hidden: whoever changes something takes out what was made of it, and what was being made meanwhile is not kept.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use quick_cache::Weighter;
use quick_cache::sync::Cache;

/// Memory of what is kept.
pub(crate) trait Weigh {
    /// About how many bytes it takes.
    fn bytes(&self) -> usize;
}

#[derive(Clone, Debug)]
struct Bytes;

impl<V: Weigh> Weighter<Arc<str>, V> for Bytes {
    fn weight(&self, user: &Arc<str>, value: &V) -> u64 {
        (user.len() + value.bytes()) as u64
    }
}

/// Values by user, of so many bytes at most.
#[derive(Debug)]
pub(crate) struct KeptByUser<V: Weigh> {
    values: Cache<Arc<str>, V, Bytes>,
    changes: AtomicU64,
    /// Held while values are put in or taken out.
    changing: Mutex<()>,
}

/// How many changes there were when something began to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AsOf(u64);

impl<V: Weigh + Clone> KeptByUser<V> {
    /// Keeps up to so many bytes; `usual` is what a value usually takes, by which the cache guesses how many there will be.
    pub(crate) fn new(bytes: usize, usual: usize) -> Self {
        Self {
            values: Cache::with_weighter(bytes / usual, bytes as u64, Bytes),
            changes: AtomicU64::new(0),
            changing: Mutex::new(()),
        }
    }

    /// What is kept of a user.
    pub(crate) fn get(&self, user: &str) -> Option<V> {
        self.values.get(user)
    }

    /// To be asked before something is made that is to be kept.
    pub(crate) fn as_of(&self) -> AsOf {
        AsOf(self.changes.load(Ordering::Acquire))
    }

    /// Keeps what was made, unless something changed since.
    pub(crate) fn put(&self, as_of: AsOf, user: &str, value: V) {
        let _alone = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.changes.load(Ordering::Acquire) == as_of.0 {
            self.values.insert(user.into(), value);
        }
    }

    /// Takes out those that `each` hands over. Called when a change is made, before anybody is told of it.
    pub(crate) fn change<'a>(&self, each: impl FnOnce(&mut dyn FnMut(&'a str))) {
        let _alone = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.changes.fetch_add(1, Ordering::AcqRel);
        each(&mut |user| drop(self.values.remove(user)));
    }

    /// Takes out everybody.
    pub(crate) fn clear(&self) {
        let _alone = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.values.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Weigh for u64 {
        fn bytes(&self) -> usize {
            100
        }
    }

    #[test]
    fn what_was_made_while_something_changed_is_not_kept() {
        let kept = KeptByUser::<u64>::new(10_000, 100);
        let before = kept.as_of();
        kept.put(before, "u", 1);
        assert_eq!(kept.get("u"), Some(1));
        kept.change(|out| out("u"));
        assert_eq!(kept.get("u"), None);
        kept.put(before, "u", 2);
        assert_eq!(kept.get("u"), None, "made before the change");
        kept.put(kept.as_of(), "u", 3);
        kept.change(|out| out("v"));
        assert_eq!(kept.get("u"), Some(3), "somebody else's change");
        kept.clear();
        assert_eq!(kept.get("u"), None);
    }

    #[test]
    fn it_holds_no_more_than_it_may() {
        let kept = KeptByUser::<u64>::new(10_000, 100);
        for user in 0..1000 {
            kept.put(kept.as_of(), &format!("u{user}"), user);
        }
        assert!(kept.values.weight() <= 10_000 && kept.values.len() < 100);
        assert!(!kept.values.is_empty());
    }
}
