//! Where good values of a setting may lie: what a search over settings draws from.
//!
//! A space stands beside its setting, as `#[schemars(extend("search" = "log:1:1000"))]`, and can be given in the same words on the
//! command line.
//!
//! | written | drawn |
//! | --- | --- |
//! | `uniform:LOW:HIGH` | a number, each equally likely |
//! | `log:LOW:HIGH` | a positive number, each order of magnitude equally likely |
//! | `integers:LOW:HIGH` | a whole number, both ends included |
//! | `log-integers:LOW:HIGH` | likewise, each order of magnitude equally likely |
//! | `choice:A:B:…` | one of these: a number, `true`, `false`, `[…]` or a word |

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

/// A space of values, see the [module](self).
///
/// ```
/// use foldin_core::search::Space;
/// let space: Space = "log:1:100".parse()?;
/// assert_eq!(space.at(0.5), 10.0);
/// assert_eq!("choice:sgd:adam".parse::<Space>()?.at(0.9), "adam");
/// assert!("log:0:1".parse::<Space>().is_err());
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Space {
    /// A number between two others.
    Uniform(f64, f64),
    /// A positive number between two others, uniform in its logarithm.
    Log(f64, f64),
    /// A whole number between two others, ends included.
    Integers(i64, i64),
    /// A positive whole number between two others, ends included, uniform in its logarithm.
    LogIntegers(i64, i64),
    /// One of these.
    Choice(Vec<Value>),
}

impl Space {
    /// The value at a place from 0 to 1 (moved there, if it lies outside). Numbers have four significant digits.
    #[must_use]
    pub fn at(&self, place: f64) -> Value {
        let place = place.clamp(0.0, 1.0);
        let between = |low: f64, high: f64| low + place * (high - low);
        // A whole number owns the half unit on either side of it, so that the ends are as likely as the others.
        let whole = |value: f64, low: i64, high: i64| Value::from((value.round() as i64).clamp(low, high));
        match self {
            Self::Uniform(low, high) => Value::from(short(between(*low, *high))),
            Self::Log(low, high) => Value::from(short(between(low.ln(), high.ln()).exp())),
            Self::Integers(low, high) => whole(between(*low as f64 - 0.5, *high as f64 + 0.5), *low, *high),
            Self::LogIntegers(low, high) => {
                let ends = ((*low as f64 - 0.5).max(0.5).ln(), (*high as f64 + 0.5).ln());
                whole(between(ends.0, ends.1).exp(), *low, *high)
            }
            Self::Choice(values) => values[self.choice(place)].clone(),
        }
    }

    /// The number of choices, of a space without order.
    #[must_use]
    pub fn choices(&self) -> Option<usize> {
        match self {
            Self::Choice(values) => Some(values.len()),
            Self::Uniform(..) | Self::Log(..) | Self::Integers(..) | Self::LogIntegers(..) => None,
        }
    }

    /// The number of the choice at a place; 0 in other spaces.
    #[must_use]
    pub fn choice(&self, place: f64) -> usize {
        let n = self.choices().unwrap_or(1);
        ((place * n as f64) as usize).min(n - 1)
    }
}

/// Rounded to four significant digits.
fn short(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}

impl FromStr for Space {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        let parts: Vec<&str> = rest.split(':').filter(|part| !part.is_empty()).collect();
        if kind == "choice" {
            return if parts.is_empty() {
                Err(format!("`{text}` offers no choice, such as choice:16:32:64"))
            } else {
                Ok(Self::Choice(parts.into_iter().map(word).collect()))
            };
        }
        let &[low, high] = parts.as_slice() else {
            return Err(format!("`{text}` is not KIND:LOW:HIGH, such as log:0.01:10"));
        };
        let positive = kind.starts_with("log");
        let ends = |low: f64, high: f64| {
            let fits = low < high && low.is_finite() && high.is_finite() && (!positive || low > 0.0);
            fits.then_some(()).ok_or_else(|| {
                let above = if positive { "0 < " } else { "" };
                format!("`{text}` needs {above}LOW < HIGH")
            })
        };
        let unreadable = |part: &str| format!("`{part}` in `{text}` is not a number of that kind");
        match kind {
            "uniform" | "log" => {
                let number = |part: &str| part.parse::<f64>().map_err(|_| unreadable(part));
                let (low, high) = (number(low)?, number(high)?);
                ends(low, high)?;
                Ok(if positive { Self::Log(low, high) } else { Self::Uniform(low, high) })
            }
            "integers" | "log-integers" => {
                let number = |part: &str| part.parse::<i64>().map_err(|_| unreadable(part));
                let (low, high) = (number(low)?, number(high)?);
                ends(low as f64, high as f64)?;
                Ok(if positive { Self::LogIntegers(low, high) } else { Self::Integers(low, high) })
            }
            other => Err(format!(
                "there is no space `{other}`; there are uniform, log, integers, log-integers and choice"
            )),
        }
    }
}

/// A choice as it is written: JSON if it reads as such, a word otherwise.
fn word(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uniform(low, high) => write!(f, "uniform:{low}:{high}"),
            Self::Log(low, high) => write!(f, "log:{low}:{high}"),
            Self::Integers(low, high) => write!(f, "integers:{low}:{high}"),
            Self::LogIntegers(low, high) => write!(f, "log-integers:{low}:{high}"),
            Self::Choice(values) => {
                f.write_str("choice")?;
                values.iter().try_for_each(|value| match value {
                    Value::String(word) => write!(f, ":{word}"),
                    other => write!(f, ":{other}"),
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for text in [
            "uniform:0:1",
            "log:0.001:10",
            "integers:-3:7",
            "log-integers:8:512",
            "choice:1:2.5:true:adam:[64,32]",
        ] {
            assert_eq!(text.parse::<Space>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in [
            "",
            "log",
            "log:1",
            "log:0:1",
            "uniform:2:1",
            "uniform:1:nan",
            "integers:1:2.5",
            "gauss:0:1",
            "choice:",
            "log:1:2:3",
            "uniform:0:inf",
        ] {
            assert!(text.parse::<Space>().is_err(), "{text}");
        }
    }

    #[test]
    fn every_whole_number_is_reached_and_none_beyond() {
        let space = Space::Integers(2, 4);
        let drawn: Vec<Value> = (0..=9).map(|at| space.at(f64::from(at) / 9.0)).collect();
        for n in 2..=4 {
            assert!(drawn.contains(&Value::from(n)), "{drawn:?}");
        }
        assert_eq!((space.at(-1.0), space.at(2.0)), (Value::from(2), Value::from(4)));
        assert_eq!(Space::LogIntegers(1, 1000).at(0.0), Value::from(1));
        assert_eq!(Space::LogIntegers(1, 1000).at(1.0), Value::from(1000));
    }

    #[test]
    fn choices_share_the_places() {
        let space: Space = "choice:a:b:c".parse().unwrap();
        assert_eq!([0.0, 0.34, 0.99, 1.0].map(|place| space.choice(place)), [0, 1, 2, 2]);
    }
}
