//! All that a store keeps, read through the trait.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::store::{Counts, Event, ItemRecord, Store, StoreError, User};

/// Rows of one page: small, so that paging is used.
const PAGE: usize = 100;

/// All that a store keeps but its settings, which have no list.
#[derive(Clone, Debug, PartialEq)]
pub struct Contents {
    /// In the order of a scan.
    pub events: Vec<Event>,
    /// In the order of their keys.
    pub users: Vec<User>,
    /// In the order of their keys.
    pub items: Vec<ItemRecord>,
    /// As the store counts.
    pub counts: Counts,
}

impl Contents {
    /// Reads everything.
    ///
    /// # Errors
    /// Those of the store.
    pub fn of(store: &dyn Store) -> Result<Self, StoreError> {
        let mut events = Vec::new();
        store.scan(None, &mut |event| {
            events.push(event);
            ControlFlow::Continue(())
        })?;
        let users = pages(|after| store.users(after, PAGE), |user| user.key.clone())?;
        let items = pages(|after| store.items(after, PAGE), |item| item.key.clone())?;
        Ok(Self { events, users, items, counts: store.counts()? })
    }

    /// Where what was counted as it came differs from what is there, in words.
    #[must_use]
    pub fn miscounted(&self) -> Option<String> {
        let mut by_kind: BTreeMap<Arc<str>, u64> = BTreeMap::new();
        let mut by_user: BTreeMap<Arc<str>, u64> = BTreeMap::new();
        for event in &self.events {
            *by_kind.entry(event.kind.clone()).or_default() += 1;
            *by_user.entry(event.user.clone()).or_default() += 1;
        }
        let counted = Counts {
            users: self.users.len() as u64,
            items: self.items.len() as u64,
            events: self.events.len() as u64,
            by_kind,
            last: self.counts.last,
        };
        if counted != self.counts {
            return Some(format!("counts say {:?}, but there are {counted:?}", self.counts));
        }
        let wrong =
            self.users.iter().find(|user| by_user.get(&user.key).copied().unwrap_or_default() != user.events);
        if let Some(user) = wrong {
            return Some(format!("{} is said to have {} events", user.key, user.events));
        }
        let unknown = by_user.keys().find(|key| !self.users.iter().any(|user| user.key == **key));
        unknown.map(|key| format!("{key} has events and is not among the users"))
    }
}

fn pages<T>(
    page: impl Fn(Option<&str>) -> Result<Vec<T>, StoreError>,
    key: impl Fn(&T) -> Arc<str>,
) -> Result<Vec<T>, StoreError> {
    let mut out: Vec<T> = Vec::new();
    loop {
        let after = out.last().map(&key);
        let next = page(after.as_deref())?;
        if next.is_empty() {
            return Ok(out);
        }
        out.extend(next);
    }
}
