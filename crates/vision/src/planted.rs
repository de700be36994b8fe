//! Purchases whose reason is known: users who like a colour, or a shape.
//!
//! An item is a figure of one of [`SHAPES`] in one of [`COLOURS`] on light ground, drawn with its own place, size, shade and noise. Half of
//! the users like a colour, whatever the shape; the other half a shape, whatever the colour. A purchase is of what the user likes with
//! probability [`PlantedOptions::taste`], else of anything. Popularity says nothing of it, and as most items are bought once, neither
//! do factors of items: only a picture does.
//!
//! Further views of an item are other drawings of it: other place, size and noise, same shape, same colour. Views that buyers took have
//! clutter around and a tint of their own.
//!
//! Synthetic, and said to be so wherever a figure of it is told: nothing here may stand beside figures of real purchases.

use foldin_core::random::{Random, numbered_seed};
use foldin_core::{Csr, Dictionary, Feedback, Interactions};

use crate::data::prepare::PrepareReport;
use crate::data::{Treatment, VisualDataset};
use crate::error::VisionError;
use crate::images::{ImageSet, Labels};

/// Colours of figures, as red, green, blue.
pub const COLOURS: [(&str, [f64; 3]); 6] = [
    ("red", [200.0, 40.0, 40.0]),
    ("green", [40.0, 160.0, 60.0]),
    ("blue", [40.0, 70.0, 200.0]),
    ("yellow", [220.0, 190.0, 40.0]),
    ("violet", [140.0, 50.0, 170.0]),
    ("black", [40.0, 40.0, 40.0]),
];

/// Shapes of figures.
pub const SHAPES: [&str; 4] = ["disc", "square", "triangle", "cross"];

/// How much of what.
#[derive(Clone, Copy, Debug)]
pub struct PlantedOptions {
    /// Users.
    pub users: usize,
    /// Items.
    pub items: usize,
    /// Purchases of each user.
    pub purchases: usize,
    /// Width and height of pictures.
    pub px: usize,
    /// Probability that a purchase is of what the user likes.
    pub taste: f64,
    /// Which views each item has.
    pub treatment: Treatment,
    /// Views of the vendor, and of buyers.
    pub views: (usize, usize),
    /// How much noise is in pictures, in levels of brightness.
    pub noise: f64,
}

impl Default for PlantedOptions {
    fn default() -> Self {
        Self {
            users: 200,
            items: 1200,
            purchases: 10,
            px: 16,
            taste: 0.9,
            treatment: Treatment::OneVendor,
            views: (3, 2),
            noise: 12.0,
        }
    }
}

/// What a user likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taste {
    /// A colour, by number.
    Colour(usize),
    /// A shape, by number.
    Shape(usize),
}

/// A data set and what was planted in it.
#[derive(Clone, Debug)]
pub struct Planted {
    /// Purchases and pictures, with the labels `colour` and `shape`.
    pub data: VisualDataset,
    /// What each user likes.
    pub tastes: Vec<Taste>,
}

impl Planted {
    /// Whether a user likes an item.
    ///
    /// # Panics
    /// If there is no such user or item.
    #[must_use]
    pub fn likes(&self, user: u32, item: u32) -> bool {
        likes(self.tastes[user as usize], item as usize)
    }
}

fn colour_of(item: usize) -> usize {
    item % COLOURS.len()
}

fn shape_of(item: usize) -> usize {
    item / COLOURS.len() % SHAPES.len()
}

fn likes(taste: Taste, item: usize) -> bool {
    match taste {
        Taste::Colour(colour) => colour_of(item) == colour,
        Taste::Shape(shape) => shape_of(item) == shape,
    }
}

/// Makes a data set; the same seed gives the same, and the same items whatever the treatment.
///
/// # Errors
/// [`VisionError::Shape`] if there are fewer items than kinds of them, or fewer than twice the purchases of a user.
///
/// # Examples
/// ```
/// use foldin_vision::planted::{PlantedOptions, planted};
///
/// let options = PlantedOptions { users: 20, items: 240, ..PlantedOptions::default() };
/// let set = planted(&options, 1)?;
/// let bought = set.data.purchases.by_user();
/// let liked: usize = (0..20)
///     .map(|user| bought.row(user).0.iter().filter(|&&item| set.likes(user as u32, item)).count())
///     .sum();
/// assert!(liked > 150, "nine in ten of 200 purchases are of what the user likes");
/// # Ok::<(), foldin_vision::VisionError>(())
/// ```
pub fn planted(options: &PlantedOptions, seed: u64) -> Result<Planted, VisionError> {
    let least = (COLOURS.len() * SHAPES.len()).max(2 * options.purchases);
    if options.items < least || options.users == 0 || options.px < 8 {
        return Err(VisionError::shape("planted items", format!("{least} at least"), options.items));
    }
    let mut triples = Vec::new();
    let mut tastes = Vec::new();
    for user in 0..options.users {
        let mut random = Random::new(numbered_seed(seed, "planted user", user as u64));
        let taste = if user % 2 == 0 {
            Taste::Colour(random.below(COLOURS.len()))
        } else {
            Taste::Shape(random.below(SHAPES.len()))
        };
        let liked: Vec<usize> = (0..options.items).filter(|&item| likes(taste, item)).collect();
        let mut own = std::collections::BTreeSet::new();
        while own.len() < options.purchases {
            let by_taste = random.chance(options.taste) && liked.iter().any(|item| !own.contains(item));
            own.insert(if by_taste { liked[random.below(liked.len())] } else { random.below(options.items) });
        }
        triples.extend(own.into_iter().map(|item| (user as u32, item as u32, 1.0)));
        tastes.push(taste);
    }
    let (mut pixels, mut names, mut pictures) = (Vec::new(), Vec::new(), Vec::new());
    let (vendor, customer) = match options.treatment {
        Treatment::OneVendor => (1, 0),
        Treatment::AllVendor => (options.views.0, 0),
        Treatment::VendorAndCustomer => options.views,
    };
    for item in 0..options.items {
        let of_item: Vec<u32> = (0..vendor + customer)
            .map(|view| {
                let by_buyer = view >= vendor;
                // A view has its own stream, so that the first is the same in every treatment.
                let number = if by_buyer { 1000 + view - vendor } else { view };
                let name = format!("item-{item}/{number}");
                let mut random = Random::new(numbered_seed(seed, &name, 0));
                draw(&mut pixels, options, item, by_buyer, &mut random);
                names.push(name);
                names.len() as u32 - 1
            })
            .collect();
        pictures.push(of_item);
    }
    let key = |what: &str, count: usize| -> Dictionary {
        let mut out = Dictionary::default();
        (0..count).for_each(|number| {
            out.intern(&format!("{what}-{number}"));
        });
        out
    };
    let label = |name: &str, of: &dyn Fn(usize) -> &'static str| {
        let of: Vec<Option<&str>> = (0..options.items).map(|item| Some(of(item))).collect();
        Labels::from_names(name, &of)
    };
    let matrix = Csr::from_triples(options.users, options.items, &triples)?;
    let data = VisualDataset {
        name: format!("planted (synthetic, {})", options.treatment.name()),
        users: key("user", options.users),
        items: key("item", options.items),
        purchases: Interactions::new(matrix, None, Feedback::Implicit)?,
        images: ImageSet::in_memory(options.px, names, pixels)?,
        pictures,
        labels: vec![
            label("colour", &|item| COLOURS[colour_of(item)].0),
            label("shape", &|item| SHAPES[shape_of(item)]),
        ],
        families: (0..options.items as u32).collect(),
        report: PrepareReport::default(),
    };
    Ok(Planted { data, tastes })
}

/// Adds one drawing of an item.
fn draw(pixels: &mut Vec<u8>, options: &PlantedOptions, item: usize, by_buyer: bool, random: &mut Random) {
    let px = options.px as f64;
    let between = |low: f64, high: f64, random: &mut Random| low + (high - low) * random.uniform();
    let radius = px * between(0.25, 0.38, random);
    let (x0, y0) = (px * between(0.4, 0.6, random), px * between(0.4, 0.6, random));
    let shade = between(0.8, 1.15, random);
    let tint: [f64; 3] = std::array::from_fn(|_| if by_buyer { between(0.85, 1.1, random) } else { 1.0 });
    let ground: [f64; 3] =
        std::array::from_fn(|_| if by_buyer { between(120.0, 240.0, random) } else { 235.0 });
    // A buyer's picture has something else in it: a bar of another colour along one side.
    let bar = by_buyer.then(|| (random.below(4), COLOURS[random.below(COLOURS.len())].1));
    let colour = COLOURS[colour_of(item)].1;
    let start = pixels.len();
    pixels.resize(start + 3 * options.px * options.px, 0);
    for y in 0..options.px {
        for x in 0..options.px {
            let (dx, dy) = ((x as f64 + 0.5 - x0) / radius, (y as f64 + 0.5 - y0) / radius);
            let inside = match SHAPES[shape_of(item)] {
                "disc" => dx * dx + dy * dy <= 1.0,
                "square" => dx.abs().max(dy.abs()) <= 0.85,
                "triangle" => (-0.9..=0.9).contains(&dy) && dx.abs() <= 0.5 * (dy + 0.9) + 0.05,
                _ => dx.abs().min(dy.abs()) <= 0.3 && dx.abs().max(dy.abs()) <= 1.0,
            };
            let edge = px * 0.14;
            let at = [x as f64, px - 1.0 - x as f64, y as f64, px - 1.0 - y as f64];
            let in_bar = bar.filter(|(side, _)| at[*side] < edge);
            for channel in 0..3 {
                let base = match in_bar {
                    _ if inside => colour[channel] * shade,
                    Some((_, colour)) => colour[channel],
                    None => ground[channel],
                };
                let value = base * tint[channel] + options.noise * random.normal();
                pixels[start + channel * options.px * options.px + y * options.px + x] = value.round() as u8;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purchases_follow_tastes() {
        let options = PlantedOptions { items: 240, ..PlantedOptions::default() };
        let planted = planted(&options, 1).unwrap();
        let matrix = planted.data.purchases.by_user();
        let (mut liked, mut all) = (0, 0);
        for user in 0..options.users {
            for &item in matrix.row(user).0 {
                liked += usize::from(planted.likes(user as u32, item));
                all += 1;
            }
        }
        assert_eq!(all, options.users * options.purchases);
        // Nine in ten, and a fifth of the rest by chance: .92. Two thousand draws have a deviation of .006.
        let share = liked as f64 / all as f64;
        assert!((share - 0.92).abs() < 0.03, "{share}");
    }

    #[test]
    fn the_first_view_is_the_same_in_every_treatment() {
        let of = |treatment| {
            planted(&PlantedOptions { treatment, items: 240, users: 3, ..PlantedOptions::default() }, 2)
                .unwrap()
                .data
        };
        let [one, all, both] = Treatment::ALL.map(of);
        assert_eq!([one.images.len(), all.images.len(), both.images.len()], [240, 720, 1200]);
        for item in [0, 17, 239] {
            let first = |data: &VisualDataset| data.images.bytes(&data.pictures[item][..1]).unwrap();
            assert_eq!(first(&one), first(&all));
            assert_eq!(first(&one), first(&both));
        }
        assert_eq!(one.purchases.by_user().columns(), both.purchases.by_user().columns());
        assert!(planted(&PlantedOptions { items: 5, ..PlantedOptions::default() }, 1).is_err());
    }
}
