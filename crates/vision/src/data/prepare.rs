//! From what was read to what models learn from: pictures chosen and decoded, what cannot be used left out and counted.
//!
//! In this order: users below the threshold (and items, where a threshold is set) are dropped, round after round until none is left
//! that falls under it; the pictures of the items that remain are decoded; items without a readable one are dropped, with their
//! purchases; and users that fall under the threshold by that are dropped as before.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use foldin_core::{Csr, Dictionary, Feedback, Interactions};
use serde::{Deserialize, Serialize};

use crate::data::purchases::{ItemLabels, ItemPictures, Purchases};
use crate::error::VisionError;
use crate::images::{BuildOptions, BuildReport, ImageSet, Labels, PictureStore, build};

/// Which pictures of an item are looked at: the study's three treatments (Table 3).
///
/// With several, a purchase becomes as many positives as the item has pictures ([`VisualDataset::positives`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Treatment {
    /// The vendor's main picture alone.
    #[default]
    OneVendor,
    /// All of the vendor's.
    AllVendor,
    /// The vendor's and those of buyers.
    VendorAndCustomer,
}

impl Treatment {
    /// All three, as the study lists them.
    pub const ALL: [Self; 3] = [Self::OneVendor, Self::AllVendor, Self::VendorAndCustomer];

    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OneVendor => "one-vendor",
            Self::AllVendor => "all-vendor",
            Self::VendorAndCustomer => "vendor-and-customer",
        }
    }

    fn of(self, item: &ItemPictures) -> Vec<&String> {
        match self {
            Self::OneVendor => item.vendor.iter().take(1).collect(),
            Self::AllVendor => item.vendor.iter().collect(),
            Self::VendorAndCustomer => item.vendor.iter().chain(&item.customer).collect(),
        }
    }
}

/// What is kept, and how pictures are decoded.
#[derive(Clone, Copy, Debug)]
pub struct PrepareOptions {
    /// Which pictures of an item count.
    pub treatment: Treatment,
    /// Users have at least as many different items; 5 in the papers.
    pub min_user: usize,
    /// Items have at least as many buyers; 1 in the papers, whose "5-core" is of users alone.
    pub min_item: usize,
    /// How pictures are decoded.
    pub images: BuildOptions,
}

impl PrepareOptions {
    /// The papers' thresholds, one picture an item, at this size.
    #[must_use]
    pub fn new(px: usize) -> Self {
        Self { treatment: Treatment::default(), min_user: 5, min_item: 1, images: BuildOptions::new(px) }
    }
}

/// What was left out, and why.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PrepareReport {
    /// Purchases of what the user had bought already.
    pub repeated: usize,
    /// Users that fell under the threshold before pictures were looked at, and after.
    pub users_dropped: [usize; 2],
    /// Items that were dropped because nobody who is left bought them, or too few did.
    pub items_unused: usize,
    /// Items without a picture that can be read.
    pub items_without_picture: usize,
    /// What became of the pictures.
    pub images: BuildReport,
}

impl PrepareReport {
    /// In words, a line for everything that was left out.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut out = Vec::new();
        let mut say = |count: usize, what: &str| {
            if count > 0 {
                out.push(format!("{count} {what}"));
            }
        };
        say(self.repeated, "repeated purchases left out");
        say(self.users_dropped[0], "users with too few items left out");
        say(self.items_unused, "items that nobody left bought");
        say(self.items_without_picture, "items without a readable picture left out");
        say(self.users_dropped[1], "users with too few items left after that");
        for (kind, &count) in &self.images.counts {
            say(count, &format!("pictures {kind}"));
        }
        for (name, defect) in self.images.defects.iter().take(5) {
            out.push(format!("  {name}: {defect}"));
        }
        out
    }
}

/// Purchases and pictures, ready to learn from.
#[derive(Clone, Debug)]
pub struct VisualDataset {
    /// A short name.
    pub name: String,
    /// Keys of users.
    pub users: Dictionary,
    /// Keys of items.
    pub items: Dictionary,
    /// Who bought what.
    pub purchases: Interactions,
    /// The pictures.
    pub images: ImageSet,
    /// Pictures of each item, at least one; the main one first.
    pub pictures: Vec<Vec<u32>>,
    /// What is known of items besides, by item.
    pub labels: Vec<Labels>,
    /// A number for each item, the same for those that are one article in several colours.
    pub families: Vec<u32>,
    /// What was left out on the way.
    pub report: PrepareReport,
}

/// Decodes pictures (or finds them decoded in `cache`) and leaves out what cannot be used.
///
/// # Errors
/// [`VisionError::NothingLeft`] if nothing remains; those of the store and the cache; and what `progress` says.
pub fn prepare(
    purchases: Purchases,
    options: &PrepareOptions,
    cache: &Path,
    progress: &dyn Fn(usize, usize) -> Result<(), VisionError>,
) -> Result<VisualDataset, VisionError> {
    if !purchases.store.exists() {
        return Err(VisionError::Format {
            path: purchases.store,
            problem: "there are no pictures; those that Amazon's reviews and metadata name by address, `foldin data images fetch` downloads"
                .to_owned(),
        });
    }
    let mut report = PrepareReport { repeated: purchases.repeated, ..PrepareReport::default() };
    let (n_users, n_items) = (purchases.users.len(), purchases.items.len());
    let mut pairs = purchases.pairs;
    let users_at_first = distinct(&pairs);
    core_filter(&mut pairs, n_users, n_items, options);
    let users_before_pictures = distinct(&pairs);
    report.users_dropped[0] = users_at_first - users_before_pictures;
    let wanted_items = used(&pairs, n_items);
    report.items_unused = wanted_items.iter().filter(|&&used| !used).count();

    // An item's pictures, each once; the same picture may be of several items.
    let mut wanted = Vec::new();
    let mut number_of: HashMap<&String, usize> = HashMap::new();
    let mut of_item: Vec<Vec<usize>> = vec![Vec::new(); n_items];
    for item in (0..n_items).filter(|&item| wanted_items[item]) {
        for name in options.treatment.of(&purchases.pictures[item]) {
            let number = *number_of.entry(name).or_insert_with(|| {
                wanted.push(name.clone());
                wanted.len() - 1
            });
            if !of_item[item].contains(&number) {
                of_item[item].push(number);
            }
        }
    }
    let mut store = PictureStore::open(&purchases.store)?;
    let (images, built) = build(&mut store, &wanted, &options.images, cache, progress)?;
    report.images = built;
    let place: HashMap<&String, u32> =
        images.names().iter().enumerate().map(|(at, name)| (name, at as u32)).collect();
    let pictures: Vec<Vec<u32>> = of_item
        .iter()
        .map(|numbers| numbers.iter().filter_map(|&number| place.get(&wanted[number]).copied()).collect())
        .collect();
    report.items_without_picture =
        (0..n_items).filter(|&item| wanted_items[item] && pictures[item].is_empty()).count();
    pairs.retain(|&(_, item)| !pictures[item as usize].is_empty());
    core_filter(&mut pairs, n_users, n_items, options);
    report.users_dropped[1] = users_before_pictures - distinct(&pairs);
    if pairs.is_empty() {
        return Err(VisionError::NothingLeft {
            path: purchases.name,
            problem: format!(
                "no user has {} items with pictures; {}",
                options.min_user,
                report.lines().join("; ")
            ),
        });
    }
    let users = Renumbered::of(n_users, pairs.iter().map(|pair| pair.0));
    let items = Renumbered::of(n_items, pairs.iter().map(|pair| pair.1));
    let triples: Vec<(u32, u32, f32)> =
        pairs.iter().map(|&(user, item)| (users.new[user as usize], items.new[item as usize], 1.0)).collect();
    let matrix = Csr::from_triples(users.old.len(), items.old.len(), &triples)?;
    Ok(VisualDataset {
        name: purchases.name,
        users: users.keys(&purchases.users),
        items: items.keys(&purchases.items),
        purchases: Interactions::new(matrix, None, Feedback::Implicit)?,
        pictures: items.old.iter().map(|&item| pictures[item].clone()).collect(),
        labels: purchases.labels.iter().map(|labels| labels_of(labels, &items.old)).collect(),
        families: families_of(purchases.families.as_deref(), &items.old),
        images,
        report,
    })
}

impl VisualDataset {
    /// What a purchase of each user stands for: one positive for every picture of the item, as the study counts them. By user: item and
    /// picture.
    #[must_use]
    pub fn positives(&self, purchases: &Interactions) -> Vec<Vec<(u32, u32)>> {
        let matrix = purchases.by_user();
        let of = |item: u32| self.pictures[item as usize].iter().map(move |&picture| (item, picture));
        (0..matrix.n_rows())
            .map(|user| matrix.row(user).0.iter().flat_map(|&item| of(item)).collect())
            .collect()
    }

    /// Some of the users alone, by number; all items and pictures stay.
    ///
    /// # Errors
    /// [`VisionError::Shape`] for a user that does not exist, or is named twice.
    pub fn of_users(&self, users: &[u32]) -> Result<Self, VisionError> {
        let known = |&user: &u32| {
            let n = self.users.len();
            self.users.key(user).ok_or_else(|| VisionError::shape("user number", format!("below {n}"), user))
        };
        let mut keys = Dictionary::default();
        for key in users.iter().map(known) {
            keys.intern(key?);
        }
        if keys.len() != users.len() {
            return Err(VisionError::shape("different users", users.len(), keys.len()));
        }
        let matrix = self.purchases.by_user().select_rows(users);
        Ok(Self {
            users: keys,
            purchases: Interactions::new(matrix, None, Feedback::Implicit)?,
            ..self.clone()
        })
    }

    /// The label of that name, by item.
    #[must_use]
    pub fn labels(&self, name: &str) -> Option<&Labels> {
        self.labels.iter().find(|labels| labels.name() == name)
    }
}

/// Drops users and items below their thresholds until none is left that is below.
fn core_filter(pairs: &mut Vec<(u32, u32)>, n_users: usize, n_items: usize, options: &PrepareOptions) {
    loop {
        let (mut of_user, mut of_item) = (vec![0usize; n_users], vec![0usize; n_items]);
        for &(user, item) in pairs.iter() {
            of_user[user as usize] += 1;
            of_item[item as usize] += 1;
        }
        let before = pairs.len();
        pairs.retain(|&(user, item)| {
            of_user[user as usize] >= options.min_user && of_item[item as usize] >= options.min_item
        });
        if pairs.len() == before {
            return;
        }
    }
}

fn distinct(pairs: &[(u32, u32)]) -> usize {
    let mut users: Vec<u32> = pairs.iter().map(|pair| pair.0).collect();
    users.sort_unstable();
    users.dedup();
    users.len()
}

fn used(pairs: &[(u32, u32)], n_items: usize) -> Vec<bool> {
    let mut used = vec![false; n_items];
    pairs.iter().for_each(|&(_, item)| used[item as usize] = true);
    used
}

/// Numbers of what is kept, in the order in which it was read.
struct Renumbered {
    /// Old numbers by new.
    old: Vec<usize>,
    /// New numbers by old; those of what is dropped mean nothing.
    new: Vec<u32>,
}

impl Renumbered {
    fn of(n: usize, kept: impl Iterator<Item = u32>) -> Self {
        let mut used = vec![false; n];
        kept.for_each(|at| used[at as usize] = true);
        let (mut old, mut new) = (Vec::new(), vec![u32::MAX; n]);
        for at in (0..n).filter(|&at| used[at]) {
            new[at] = old.len() as u32;
            old.push(at);
        }
        Self { old, new }
    }

    fn keys(&self, all: &Dictionary) -> Dictionary {
        let mut out = Dictionary::default();
        self.old.iter().filter_map(|&at| all.key(at as u32)).for_each(|key| {
            out.intern(key);
        });
        out
    }
}

fn labels_of(labels: &ItemLabels, items: &[usize]) -> Labels {
    let names: Vec<Option<&str>> = items.iter().map(|&item| labels.of[item].as_deref()).collect();
    Labels::from_names(&labels.name, &names)
}

fn families_of(families: Option<&[String]>, items: &[usize]) -> Vec<u32> {
    let Some(families) = families else { return (0..items.len() as u32).collect() };
    let mut numbers = BTreeMap::new();
    items
        .iter()
        .map(|&item| {
            let next = numbers.len() as u32;
            *numbers.entry(&families[item]).or_insert(next)
        })
        .collect()
}
