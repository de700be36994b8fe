//! From what was read to what models learn from: pictures chosen and decoded, what cannot be used left out and counted.
//!
//! In this order: users below the threshold (and items, where a threshold is set) are dropped, round after round until none is left
//! that falls under it; the pictures of the items that remain are decoded; items without a readable one are dropped, with their
//! purchases; and users that fall under the threshold by that are dropped as before.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use foldin_core::{Csr, Dictionary, Feedback, Interactions};
use serde::{Deserialize, Serialize};

use crate::data::purchases::{ItemLabels, ItemPictures, Purchases};
use crate::error::VisionError;
use crate::images::{BuildOptions, BuildReport, ImageSet, Labels, PictureStore, build_first};

/// Which pictures of an item are looked at: the study's three treatments (Table 3).
///
/// With several, a purchase becomes as many positives as the item has pictures ([`VisualDataset::positives`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Treatment {
    /// The vendor's main picture alone: the first that can be read, so that the same items are left as with all of them.
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

    /// Names of each picture wanted of an item; where there are several, the first that can be read is.
    fn wanted(self, item: &ItemPictures) -> Vec<&[String]> {
        match self {
            Self::OneVendor => Vec::from_iter((!item.vendor.is_empty()).then_some(&item.vendor[..])),
            Self::AllVendor => item.vendor.iter().map(std::slice::from_ref).collect(),
            Self::VendorAndCustomer => {
                item.vendor.iter().chain(&item.customer).map(std::slice::from_ref).collect()
            }
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
    /// Whether an item has to have a readable picture of the vendor, whatever else shows it: all treatments have the same items then.
    pub needs_vendor: bool,
    /// How pictures are decoded.
    pub images: BuildOptions,
}

impl PrepareOptions {
    /// The papers' thresholds, one picture an item, at this size.
    #[must_use]
    pub fn new(px: usize) -> Self {
        Self {
            treatment: Treatment::default(),
            min_user: 5,
            min_item: 1,
            needs_vendor: false,
            images: BuildOptions::new(px),
        }
    }

    /// The same at another size.
    #[must_use]
    pub fn at(self, px: usize) -> Self {
        Self { images: BuildOptions { px, ..self.images }, ..self }
    }

    /// The file that the pictures of a data set are decoded into, by all that says which they are.
    #[must_use]
    pub fn file_name(&self, data: &str) -> String {
        let Self { treatment, min_user, min_item, images, .. } = self;
        format!("{data}-{}-{min_user}-{min_item}-{}.fpix", treatment.name(), images.px)
    }
}

/// A picture that could not be used, or an item that has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// The item's key.
    pub item: String,
    /// The picture's name in the store; empty where the item has none.
    pub picture: String,
    /// The address that it was to be downloaded from, where that is known.
    pub address: Option<String>,
    /// What is wrong with it.
    pub problem: String,
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
    /// Items that only buyers' pictures show, where [`PrepareOptions::needs_vendor`] leaves them out.
    pub items_without_vendor: usize,
    /// Every picture that could not be used and every item without any, by item.
    pub unusable: Vec<Unusable>,
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
        say(self.items_without_vendor, "items without a readable picture of the vendor left out");
        say(self.users_dropped[1], "users with too few items left after that");
        out.extend(self.images.lines());
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
///
/// # Examples
/// ```no_run
/// use std::path::Path;
///
/// use foldin_vision::data::{LeaveOneOut, PrepareOptions, prepare, purchases};
///
/// let shop = purchases::open(Path::new("shop"))?; // H&M's, Amazon's or a plain folder
/// let data = prepare(shop, &PrepareOptions::new(32), Path::new("runs/shop.fpix"), &|_, _| Ok(()))?;
/// for line in data.report.lines() {
///     println!("{line}"); // what was left out, and why
/// }
/// let split = LeaveOneOut::new(&data, 1)?;
/// # Ok::<(), foldin_vision::VisionError>(())
/// ```
pub fn prepare(
    mut purchases: Purchases,
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
    let thresholds = [options.min_user, options.min_item];
    let mut pairs = std::mem::take(&mut purchases.pairs);
    let users_at_first = distinct(&pairs);
    core_filter(&mut pairs, [n_users, n_items], thresholds);
    let users_before_pictures = distinct(&pairs);
    report.users_dropped[0] = users_at_first - users_before_pictures;
    let wanted_items = used(&pairs, n_items);
    report.items_unused = wanted_items.iter().filter(|&&used| !used).count();

    // Each picture once; the same may be of several items.
    let wanted_of = |item: usize| options.treatment.wanted(&purchases.pictures[item]);
    let mut seen = HashSet::new();
    let wanted: Vec<&[String]> = (0..n_items)
        .filter(|&item| wanted_items[item])
        .flat_map(wanted_of)
        .filter(|names| seen.insert(*names))
        .collect();
    let mut store = PictureStore::open(&purchases.store)?;
    let (images, built) = build_first(&mut store, &wanted, &options.images, cache, progress)?;
    report.images = built;
    let place: HashMap<&String, u32> =
        images.names().iter().enumerate().map(|(at, name)| (name, at as u32)).collect();
    let mut pictures: Vec<Vec<u32>> = vec![Vec::new(); n_items];
    for item in (0..n_items).filter(|&item| wanted_items[item]) {
        for names in wanted_of(item) {
            if let Some(&picture) = names.iter().find_map(|name| place.get(name))
                && !pictures[item].contains(&picture)
            {
                pictures[item].push(picture);
            }
        }
        report.items_without_picture += usize::from(pictures[item].is_empty());
        let vendor = &purchases.pictures[item].vendor;
        if options.needs_vendor
            && !pictures[item].is_empty()
            && !vendor.iter().any(|name| place.contains_key(name))
        {
            pictures[item].clear();
            report.items_without_vendor += 1;
        }
    }
    report.unusable = unusable(&purchases, &report.images.defects, options.treatment, &wanted_items);
    pairs.retain(|&(_, item)| !pictures[item as usize].is_empty());
    core_filter(&mut pairs, [n_users, n_items], thresholds);
    report.users_dropped[1] = users_before_pictures - distinct(&pairs);
    if pairs.is_empty() {
        return Err(VisionError::NothingLeft {
            path: purchases.name,
            problem: format!(
                "no user has {} items with pictures{}; {}",
                options.min_user,
                if options.min_item > 1 {
                    format!(" and {} buyers each", options.min_item)
                } else {
                    String::new()
                },
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

/// What is wrong with pictures, by item: an item without any as well.
fn unusable(
    purchases: &Purchases,
    defects: &[(String, String)],
    treatment: Treatment,
    wanted: &[bool],
) -> Vec<Unusable> {
    let problems: HashMap<&String, &String> = defects.iter().map(|(name, problem)| (name, problem)).collect();
    let mut out = Vec::new();
    for (item, key) in purchases.items.keys().enumerate().filter(|(item, _)| wanted[*item]) {
        let mut names = treatment.wanted(&purchases.pictures[item]).concat();
        let row = |picture: &str, problem: &str| Unusable {
            item: key.to_owned(),
            picture: picture.to_owned(),
            address: purchases.addresses.get(picture).cloned(),
            problem: problem.to_owned(),
        };
        if names.is_empty() {
            out.push(row("", "no picture"));
        }
        names.retain(|name| problems.contains_key(name));
        out.extend(names.iter().map(|name| row(name, problems[name])));
    }
    out
}

/// Drops users with fewer than `min_user` items and items with fewer than `min_item` buyers, until none is left that has fewer.
pub(crate) fn core_filter(
    pairs: &mut Vec<(u32, u32)>,
    [n_users, n_items]: [usize; 2],
    [min_user, min_item]: [usize; 2],
) {
    loop {
        let (mut of_user, mut of_item) = (vec![0usize; n_users], vec![0usize; n_items]);
        for &(user, item) in pairs.iter() {
            of_user[user as usize] += 1;
            of_item[item as usize] += 1;
        }
        let before = pairs.len();
        pairs
            .retain(|&(user, item)| of_user[user as usize] >= min_user && of_item[item as usize] >= min_item);
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

/// Which items somebody bought.
pub(crate) fn used(pairs: &[(u32, u32)], n_items: usize) -> Vec<bool> {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A chain: each round takes away what the next one falls by.
    #[test]
    fn thresholds_are_asked_until_nothing_falls() {
        // Item 0 has one buyer, so user 0 falls, so item 1, so user 1, and so on; users 4 to 6 hold each other up.
        let mut pairs: Vec<(u32, u32)> = (0..4).flat_map(|user| [(user, user), (user, user + 1)]).collect();
        let core: Vec<(u32, u32)> = (4..7).flat_map(|user| [(user, 7), (user, 8)]).collect();
        pairs.extend(&core);
        let mut twice = pairs.clone();
        core_filter(&mut twice, [7, 9], [2, 2]);
        assert_eq!(twice, core);
        let mut users_alone = pairs.clone();
        core_filter(&mut users_alone, [7, 9], [2, 1]);
        assert_eq!(users_alone, pairs);
        core_filter(&mut pairs, [7, 9], [3, 2]);
        assert!(pairs.is_empty());
    }
}
