//! Finding an item by what a person types: its key, its title, or most of the title.

use foldin_core::config::edit_distance;
use foldin_core::{Dictionary, ItemId};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// A text that does not say which item is meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TitleError {
    /// Several items fit.
    #[error("`{text}` fits {} items; give a year or a key:\n{}", candidates.len(), list(candidates, 10))]
    Several {
        /// What was typed.
        text: String,
        /// What fits.
        candidates: Vec<Candidate>,
    },
    /// No item fits.
    #[error("no item is called `{text}`{}", if nearest.is_empty() {
        ", and none has that key".to_owned()
    } else {
        format!("; the nearest are:\n{}", list(nearest, 5))
    })]
    None {
        /// What was typed.
        text: String,
        /// The nearest titles, nearest first; at most five.
        nearest: Vec<Candidate>,
    },
}

/// An item that might have been meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its key.
    pub key: String,
    /// Its title.
    pub title: String,
}

fn list(candidates: &[Candidate], most: usize) -> String {
    let line = |Candidate { key, title }: &Candidate| {
        if key == title { format!("  {key}") } else { format!("  {title}  (key {key})") }
    };
    let mut lines: Vec<String> = candidates.iter().take(most).map(line).collect();
    if candidates.len() > most {
        lines.push(format!("  … and {} more", candidates.len() - most));
    }
    lines.join("\n")
}

/// Finds the one item meant by `text`. In order: the exact key; the title without regard to case, accents, punctuation,
/// article and year; the only title that contains all the words; the only title a letter or two away.
///
/// # Errors
/// [`TitleError`] with the candidates when several fit, and the nearest titles when none does.
pub fn find_item(text: &str, items: &Dictionary, titles: &[String]) -> Result<ItemId, TitleError> {
    if let Some(item) = items.get(text) {
        return Ok(ItemId(item));
    }
    let wanted = normalise(text);
    let normalised: Vec<Title> = titles.iter().map(|title| normalise(title)).collect();
    let same_year = |title: &Title| wanted.year.is_none() || wanted.year == title.year;
    let fitting = |fits: &dyn Fn(&Title) -> bool| -> Vec<usize> {
        (0..titles.len()).filter(|&at| same_year(&normalised[at]) && fits(&normalised[at])).collect()
    };

    let words: Vec<&str> = wanted.name.split(' ').filter(|word| !word.is_empty()).collect();
    let steps: [&dyn Fn(&Title) -> bool; 3] = [
        &|title| title.name == wanted.name,
        &|title| {
            !words.is_empty() && words.iter().all(|word| title.name.split(' ').any(|other| other == *word))
        },
        &|title| {
            wanted.name.len() > 3
                && distance_within(&title.name, &wanted.name, 1 + wanted.name.len() / 8).is_some()
        },
    ];
    for fits in steps {
        match fitting(fits)[..] {
            [] => {}
            [only] => return Ok(ItemId(only as u32)),
            ref several => {
                let candidates = several.iter().map(|&at| candidate(at, items, titles)).collect();
                return Err(TitleError::Several { text: text.to_owned(), candidates });
            }
        }
    }
    let mut near: Vec<(usize, usize)> = normalised
        .iter()
        .enumerate()
        .filter_map(|(at, title)| {
            distance_within(&title.name, &wanted.name, wanted.name.len() / 2).map(|far| (far, at))
        })
        .collect();
    near.sort_unstable();
    let nearest = near.iter().take(5).map(|&(_, at)| candidate(at, items, titles)).collect();
    Err(TitleError::None { text: text.to_owned(), nearest })
}

/// Whether two titles are the same without regard to case, accents, punctuation, article, and a year that one leaves out.
#[must_use]
pub fn same_title(a: &str, b: &str) -> bool {
    let (a, b) = (normalise(a), normalise(b));
    a.name == b.name && (a.year.is_none() || b.year.is_none() || a.year == b.year)
}

fn candidate(at: usize, items: &Dictionary, titles: &[String]) -> Candidate {
    Candidate { key: items.key(at as u32).unwrap_or_default().to_owned(), title: titles[at].clone() }
}

/// A title as it is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Title {
    /// Words in lower case, without accents and punctuation.
    pub name: String,
    /// The year in brackets at its end.
    pub year: Option<u16>,
}

/// Lower case, no accents, letters and digits only, one space between words; a trailing `(1995)` apart, and `Matrix, The` turned round.
#[must_use]
pub fn normalise(title: &str) -> Title {
    let title = title.trim();
    let (name, year) = match title.strip_suffix(')').and_then(|rest| rest.rsplit_once('(')) {
        Some((name, digits)) if digits.len() == 4 => match digits.parse() {
            Ok(year) => (name, Some(year)),
            Err(_) => (title, None),
        },
        _ => (title, None),
    };
    let lower = name.trim().to_lowercase();
    let turned = match lower.rsplit_once(", ") {
        Some((rest, article @ ("the" | "a" | "an" | "la" | "le" | "les" | "il" | "das" | "der" | "die"))) => {
            format!("{article} {rest}")
        }
        _ => lower,
    };
    let mut spaced = String::with_capacity(turned.len());
    for letter in turned.nfkd().filter(|letter| !is_combining_mark(*letter)) {
        match letter {
            // Letters that Unicode does not take apart.
            'ß' => spaced.push_str("ss"),
            'æ' => spaced.push_str("ae"),
            'œ' => spaced.push_str("oe"),
            'ø' => spaced.push('o'),
            'ł' => spaced.push('l'),
            'đ' => spaced.push('d'),
            _ => spaced.push(if letter.is_alphanumeric() { letter } else { ' ' }),
        }
    }
    let mut words: Vec<&str> = spaced.split_whitespace().collect();
    if words.len() > 1 && matches!(words[0], "the" | "a" | "an") {
        words.remove(0);
    }
    Title { name: words.join(" "), year }
}

/// The edit distance of two strings if it is at most `limit`.
fn distance_within(a: &str, b: &str, limit: usize) -> Option<usize> {
    if a.len().abs_diff(b.len()) > 4 * limit {
        return None;
    }
    Some(edit_distance(a, b)).filter(|&distance| distance <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue() -> (Dictionary, Vec<String>) {
        let titles = [
            "Toy Story (1995)",
            "Matrix, The (1999)",
            "Sabrina (1954)",
            "Sabrina (1995)",
            "Star Wars: Episode IV - A New Hope (1977)",
            "Léon: The Professional (1994)",
            "2001: A Space Odyssey (1968)",
            "Misérables, Les (1995)",
            "Smørrebrød (2000)",
        ];
        let keys = (1..=titles.len()).map(|key| format!("m{key}"));
        (Dictionary::from_keys(keys).unwrap(), titles.map(str::to_owned).to_vec())
    }

    fn found(text: &str) -> Result<u32, String> {
        let (items, titles) = catalogue();
        find_item(text, &items, &titles).map(|item| item.0).map_err(|error| error.to_string())
    }

    #[test]
    fn people_type_titles_in_many_ways() {
        for text in ["Toy Story (1995)", "toy story", "TOY  STORY", "Toy Stroy (1995)", "m1", "story"] {
            assert_eq!(found(text), Ok(0), "{text}");
        }
        for text in ["The Matrix", "Matrix", "matrix, the (1999)", "the matrix (1999)"] {
            assert_eq!(found(text), Ok(1), "{text}");
        }
        assert_eq!(found("new hope"), Ok(4));
        assert_eq!(found("2001 space odyssey"), Ok(6));
        assert_eq!(found("Sabrina (1954)"), Ok(2));
        for text in ["miserables", "Les Miserables", "les mise\u{301}rables (1995)", "MISÉRABLES, LES"] {
            assert_eq!(found(text), Ok(7), "{text}");
        }
        assert_eq!(found("leon"), Ok(5));
        assert_eq!(found("smorrebrod"), Ok(8));
    }

    #[test]
    fn ambiguous_titles_are_listed() {
        let error = found("sabrina").unwrap_err();
        assert!(
            error.contains("fits 2 items") && error.contains("(key m3)") && error.contains("(key m4)"),
            "{error}"
        );
    }

    #[test]
    fn unknown_titles_name_the_nearest() {
        let error = found("Toy Soldiers").unwrap_err();
        assert!(error.contains("Toy Story (1995)"), "{error}");
        assert!(found("qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq").unwrap_err().contains("none has that key"));
        assert!(found("").is_err());
    }
}
