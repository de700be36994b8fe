//! How data are to be read.

use std::path::PathBuf;

use foldin_core::RatingScale;

/// What to do with a pair of user and item that appears more than once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Duplicates {
    /// Refuse the data and name the lines.
    #[default]
    Error,
    /// Keep the latest by time; the last in the file where times are missing or equal.
    Last,
    /// Keep the mean of the values, with the latest time.
    Mean,
}

impl Duplicates {
    /// The word on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Last => "last",
            Self::Mean => "mean",
        }
    }
}

impl std::str::FromStr for Duplicates {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "error" => Ok(Self::Error),
            "last" => Ok(Self::Last),
            "mean" => Ok(Self::Mean),
            _ => Err(format!("`{word}` is none of: last, mean, error")),
        }
    }
}

/// Which column is which, by name (header or JSON key) or by number from 1. `None` is found by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    /// The user.
    pub user: Option<String>,
    /// The item.
    pub item: Option<String>,
    /// The rating; `Some("-")` says that there is none.
    pub rating: Option<String>,
    /// The time; `Some("-")` says that there is none.
    pub time: Option<String>,
}

impl std::str::FromStr for Columns {
    type Err = String;

    /// Reads `user=NAME,item=NAME,rating=NAME,time=NAME`; any may be left out.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut out = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (what, name) =
                part.split_once('=').ok_or_else(|| format!("`{part}` is not of the form user=NAME"))?;
            let slot = match what.trim() {
                "user" => &mut out.user,
                "item" => &mut out.item,
                "rating" => &mut out.rating,
                "time" => &mut out.time,
                other => return Err(format!("`{other}` is none of: user, item, rating, time")),
            };
            *slot = Some(name.trim().to_owned());
        }
        Ok(out)
    }
}

/// How [`open`](crate::open) finds and reads data. The default finds everything out by itself.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// A folder in which names are looked up first, before `$FOLDIN_DATA_DIR` and the user's cache.
    pub data_dir: Option<PathBuf>,
    /// What to do with repeated pairs.
    pub duplicates: Duplicates,
    /// Leave out lines that cannot be used, and count them in the [`ReadReport`](crate::ReadReport).
    pub skip_bad_lines: bool,
    /// The rating scale, where it is known better than by looking at the ratings. A rating outside it, or between its
    /// steps, is a bad line.
    pub scale: Option<RatingScale>,
    /// Take every line as something that happened, whatever the rating says.
    pub implicit: bool,
    /// Which column is which.
    pub columns: Columns,
    /// What stands between columns: one character, `::`, `tab` or `space`. Found by itself if `None`.
    pub separator: Option<String>,
    /// Whether the first line names the columns. Found by itself if `None`.
    pub header: Option<bool>,
    /// A table of users, if it does not lie beside the ratings under a known name.
    pub users: Option<PathBuf>,
    /// A table of items, if it does not lie beside the ratings under a known name.
    pub items: Option<PathBuf>,
}

/// Reads `MIN,MAX` or `MIN,MAX,STEP`, such as `0.5,5,0.5`.
///
/// # Errors
/// A sentence that says what is wrong.
///
/// # Example
/// ```
/// let scale = foldin_data::parse_scale("-10,10").unwrap();
/// assert_eq!((scale.min, scale.max, scale.step), (-10.0, 10.0, None));
/// assert!(foldin_data::parse_scale("5,1").is_err());
/// ```
pub fn parse_scale(text: &str) -> Result<RatingScale, String> {
    let numbers: Vec<f32> = text
        .split(',')
        .map(|part| part.trim().parse::<f32>().map_err(|_| format!("`{part}` is not a number")))
        .collect::<Result<_, _>>()?;
    let (min, max, step) = match numbers[..] {
        [min, max] => (min, max, None),
        [min, max, step] => (min, max, Some(step)),
        _ => return Err(format!("`{text}` is not MIN,MAX or MIN,MAX,STEP")),
    };
    if !(min.is_finite() && max.is_finite() && min < max) {
        return Err(format!("{min} is not below {max}"));
    }
    if step.is_some_and(|step| !(step.is_finite() && step > 0.0 && step <= max - min)) {
        return Err("the step must be above 0 and no larger than the scale".to_owned());
    }
    Ok(RatingScale { min, max, step })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_read_by_name() {
        let columns: Columns = "user=reader, rating=-".parse().unwrap();
        assert_eq!(columns.user.as_deref(), Some("reader"));
        assert_eq!(columns.rating.as_deref(), Some("-"));
        assert!("stars=1".parse::<Columns>().is_err());
    }

    #[test]
    fn scales_are_checked() {
        assert_eq!(parse_scale("0.5,5,0.5").unwrap().step, Some(0.5));
        for bad in ["1", "1,2,3,4", "a,b", "2,1", "1,5,0", "1,5,9", "nan,1"] {
            assert!(parse_scale(bad).is_err(), "{bad}");
        }
    }
}
