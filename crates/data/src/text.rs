//! Bytes to text and numbers.

use std::borrow::Cow;

/// UTF-8 where it is valid, Latin-1 otherwise (as in MovieLens 100K and 1M).
pub(crate) fn decode(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().map(|&byte| char::from(byte)).collect()),
    }
}

/// A decimal number such as `4`, `-3.5` or `1e3`. NaN and infinity are returned as such.
#[inline]
pub(crate) fn parse_decimal(bytes: &[u8]) -> Option<f64> {
    // Nearly all ratings are one of these two.
    match *bytes {
        [ones @ b'0'..=b'9'] => Some(f64::from(ones - b'0')),
        [ones @ b'0'..=b'9', b'.', tenths @ b'0'..=b'9'] => {
            Some((10.0 * f64::from(ones - b'0') + f64::from(tenths - b'0')) / 10.0)
        }
        _ => parse_any_decimal(bytes.trim_ascii()),
    }
}

fn parse_any_decimal(bytes: &[u8]) -> Option<f64> {
    let (negative, digits) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, bytes),
    };
    // Up to 15 digits fit exactly in an f64, and so do the powers of ten below: one exactly rounded division.
    if !digits.is_empty() && digits.len() <= 16 {
        let mut whole = 0u64;
        let mut point = None;
        let mut count = 0;
        let plain = digits.iter().enumerate().all(|(at, &byte)| match byte {
            b'0'..=b'9' => {
                whole = whole * 10 + u64::from(byte - b'0');
                count += 1;
                true
            }
            b'.' if point.is_none() => {
                point = Some(at);
                true
            }
            _ => false,
        });
        if plain && (1..=15).contains(&count) {
            let places = point.map_or(0, |at| digits.len() - 1 - at);
            let value = whole as f64 / POWERS_OF_TEN[places];
            return Some(if negative { -value } else { value });
        }
    }
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

const POWERS_OF_TEN: [f64; 16] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// A point in time as Unix seconds: a number (fractions are cut off), or a date `2018-09-20`, with `T12:30:59` or a
/// space and the time behind it if need be, taken as UTC.
pub(crate) fn parse_time(bytes: &[u8]) -> Option<i64> {
    if !bytes.is_empty() && bytes.len() <= 18 {
        let mut number = 0i64;
        let digits = bytes.iter().all(|&byte| {
            let digit = byte.wrapping_sub(b'0');
            number = number * 10 + i64::from(digit);
            digit <= 9
        });
        if digits {
            return Some(number);
        }
    }
    let bytes = bytes.trim_ascii();
    if let Some(number) = parse_decimal(bytes) {
        return (number.is_finite() && number.abs() < 9e18).then_some(number as i64);
    }
    parse_date(bytes)
}

/// Unix seconds of a date such as `2018-09-20`, as in [`parse_time`].
#[inline]
pub(crate) fn parse_date(bytes: &[u8]) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        let part = bytes.get(range)?;
        part.iter()
            .all(u8::is_ascii_digit)
            .then(|| part.iter().fold(0, |number, &byte| number * 10 + i64::from(byte - b'0')))
    };
    let separator = *bytes.get(4)?;
    if !matches!(separator, b'-' | b'/') || bytes.get(7) != Some(&separator) {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let days = days_since_1970(year, month, day);
    // Every month has 28 days; beyond them it must not be the next month already.
    if day > 28 && days >= days_since_1970(year + month / 12, month % 12 + 1, 1) {
        return None;
    }
    let mut seconds = days * 86_400;
    if bytes.len() > 10 {
        if !matches!(bytes[10], b' ' | b'T') || bytes.get(13) != Some(&b':') {
            return None;
        }
        seconds += number(11..13)? * 3600 + number(14..16)? * 60;
        if bytes.get(16) == Some(&b':') {
            seconds += number(17..19)?;
        }
    }
    Some(seconds)
}

/// Days from 1970-01-01 to a day of the Gregorian calendar (years counted from March, so that the leap day is last).
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// `2000-12-31 22:00:00` (UTC) for Unix seconds.
pub(crate) fn format_time(seconds: i64) -> String {
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60)
}

/// The year at the end of a film title: 1995 for `Toy Story (1995)`, the first of `(2006-2007)`.
pub(crate) fn year_of_title(title: &str) -> Option<u16> {
    let title = title.trim_end();
    let inside = title.strip_suffix(')')?;
    let inside = &inside[inside.rfind('(')? + 1..];
    let digits = inside.get(..4)?;
    if inside.len() > 4 && inside.as_bytes()[4].is_ascii_digit() {
        return None;
    }
    digits.parse().ok().filter(|year| (1870..2100).contains(year))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn years_come_from_titles() {
        assert_eq!(year_of_title("Toy Story (1995)"), Some(1995));
        assert_eq!(year_of_title("Les Misérables (film) (2012) "), Some(2012));
        assert_eq!(year_of_title("Planet (2006–2007)"), Some(2006));
        assert_eq!(year_of_title("Casualty (1986-)"), Some(1986));
        for none in ["", "unknown", "Fargo", "(é99", "Big (12345)", "A (V)", "X (0042)"] {
            assert_eq!(year_of_title(none), None, "{none}");
        }
    }

    #[test]
    fn times_are_numbers_or_dates() {
        assert_eq!(parse_time(b"978300760"), Some(978_300_760));
        assert_eq!(parse_time(b"9.78300760E8"), Some(978_300_760));
        assert_eq!(parse_time(b"2000-12-31T22:12:40"), Some(978_300_760));
        assert_eq!(parse_time(b"1970-01-02"), Some(86_400));
        assert_eq!(parse_time(b"2000-02-29").map(format_time), Some("2000-02-29 00:00:00".to_owned()));
        assert_eq!(parse_time(b"1999-12-31"), Some(946_598_400));
        assert_eq!(format_time(978_300_760), "2000-12-31 22:12:40");
        for bad in [&b"never"[..], b"", b"nan", b"2000-13-01", b"2000-1-1", b"2001-02-29", b"2000-04-31"] {
            assert_eq!(parse_time(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn latin_1_is_the_second_guess() {
        assert_eq!(decode(b"Mis\xe9rables"), "Misérables");
        assert_eq!(decode("Misérables".as_bytes()), "Misérables");
    }

    proptest! {
        #[test]
        fn decimals_agree_with_the_standard_library(number in -1e6f64..1e6, places in 0usize..8) {
            let text = format!("{number:.places$}");
            prop_assert_eq!(parse_decimal(text.as_bytes()), text.parse::<f64>().ok());
        }

        #[test]
        fn short_texts_agree_with_the_standard_library(text in "[-+]?[0-9.e]{0,4}") {
            prop_assert_eq!(parse_decimal(text.as_bytes()), text.parse::<f64>().ok());
        }

        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..24)) {
            let _ = (parse_decimal(&bytes), parse_time(&bytes), year_of_title(&decode(&bytes)));
        }

        #[test]
        fn dates_return(seconds in -62_000_000_000i64..250_000_000_000) {
            prop_assert_eq!(parse_time(format_time(seconds).as_bytes()), Some(seconds));
        }
    }
}
