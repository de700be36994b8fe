//! Which column is which, from their names.

use crate::error::ReadError;
use crate::fields::{Fields, Separator};
use crate::options::Columns;
use crate::table::RatingColumns;
use crate::text::{decode, parse_decimal, parse_time};

/// Names by which a column is recognised, the surest first; lower case, letters and digits only.
const USER: &[&str] = &[
    "user",
    "userid",
    "uid",
    "reviewerid",
    "reviewer",
    "customerid",
    "customer",
    "memberid",
    "member",
    "visitorid",
    "accountid",
    "account",
    "personid",
    "person",
    "profileid",
    "reader",
    "readerid",
];
const ITEM: &[&str] = &[
    "item",
    "itemid",
    "iid",
    "movie",
    "movieid",
    "film",
    "filmid",
    "parentasin",
    "asin",
    "product",
    "productid",
    "article",
    "articleid",
    "isbn",
    "book",
    "bookid",
    "song",
    "songid",
    "track",
    "trackid",
    "artist",
    "artistid",
    "business",
    "businessid",
    "game",
    "gameid",
    "anime",
    "animeid",
    "joke",
    "jokeid",
    "recipe",
    "recipeid",
    "gmapid",
    "venueid",
];
const RATING: &[&str] = &[
    "rating",
    "ratings",
    "overall",
    "score",
    "stars",
    "star",
    "starrating",
    "bookrating",
    "userrating",
    "myrating",
];
const TIME: &[&str] = &[
    "timestamp",
    "time",
    "unixreviewtime",
    "unixtime",
    "ts",
    "datetime",
    "date",
    "createdat",
    "ratedat",
    "tdat",
    "ratingtime",
];
/// Names of a title, in tables of items.
pub(crate) const TITLE: &[&str] = &[
    "title",
    "movietitle",
    "itemtitle",
    "name",
    "itemname",
    "productname",
    "prodname",
    "productdisplayname",
    "booktitle",
];
/// Names of the key that only make sense within a table of users or items.
const OWN_KEY: &[&str] = &["id", "key"];

/// Lower case, letters and digits only: `User-ID` and `user_id` are one name.
pub(crate) fn normalise(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect()
}

/// The column with the surest of some names.
pub(crate) fn by_alias(names: &[String], aliases: &[&str]) -> Option<usize> {
    let names: Vec<String> = names.iter().map(|name| normalise(name)).collect();
    aliases.iter().find_map(|alias| names.iter().position(|name| name == alias))
}

/// The key column of a table of users (or of items).
pub(crate) fn key_column(names: &[String], users: bool) -> Option<usize> {
    by_alias(names, if users { USER } else { ITEM }).or_else(|| by_alias(names, OWN_KEY))
}

/// Whether some name is known to be that of a column of interactions.
pub(crate) fn looks_like_header(names: &[String]) -> bool {
    [USER, ITEM, RATING, TIME].iter().any(|aliases| by_alias(names, aliases).is_some())
}

/// What was asked for one column.
enum Choice {
    At(usize),
    None,
    Unknown,
    Free,
}

fn choose(given: Option<&str>, names: &[String]) -> Choice {
    let Some(given) = given else { return Choice::Free };
    if given == "-" {
        return Choice::None;
    }
    if let Some(at) = names.iter().position(|name| name == given) {
        return Choice::At(at);
    }
    match given.parse::<usize>() {
        Ok(number) if (1..=names.len()).contains(&number) => Choice::At(number - 1),
        _ => by_alias(names, &[&*normalise(given)]).map_or(Choice::Unknown, Choice::At),
    }
}

/// Finds the columns of interactions by what was asked for, then by name.
pub(crate) fn named_columns(
    file: &str,
    names: &[String],
    asked: &Columns,
) -> Result<RatingColumns, ReadError> {
    let missing = |what| ReadError::MissingColumn { file: file.to_owned(), what, columns: names.to_vec() };
    let find = |what, given: &Option<String>, aliases| match choose(given.as_deref(), names) {
        Choice::At(at) => Ok(Some(at)),
        Choice::None => Ok(None),
        Choice::Unknown => Err(missing(what)),
        Choice::Free => Ok(by_alias(names, aliases)),
    };
    Ok(RatingColumns {
        user: find("user", &asked.user, USER)?.ok_or_else(|| missing("user"))?,
        item: find("item", &asked.item, ITEM)?.ok_or_else(|| missing("item"))?,
        rating: find("rating", &asked.rating, RATING)?,
        time: find("time", &asked.time, TIME)?,
    })
}

/// Finds the columns of interactions by number, then by what they look like: user, item, rating, time in this order.
pub(crate) fn unnamed_columns(
    file: &str,
    sample: &[Vec<String>],
    asked: &Columns,
) -> Result<RatingColumns, ReadError> {
    let width = sample.iter().map(Vec::len).min().unwrap_or(0);
    let numbers: Vec<String> = (1..=width).map(|number| number.to_string()).collect();
    let missing = |what| ReadError::MissingColumn { file: file.to_owned(), what, columns: numbers.clone() };
    let every =
        |at: usize, test: &dyn Fn(&str) -> bool| at < width && sample.iter().all(|row| test(&row[at]));
    let is_time = |text: &str| parse_time(text.as_bytes()).is_some();
    let is_late = |text: &str| parse_decimal(text.as_bytes()).is_some_and(|number| number > 1e8);
    // `user item time` has no ratings: a third column of moments of this century is not one of opinions.
    let third_is_time = every(2, &is_late);
    let find = |what, given: &Option<String>, usual: Option<usize>| match choose(given.as_deref(), &numbers) {
        Choice::At(at) => Ok(Some(at)),
        Choice::None => Ok(None),
        Choice::Unknown => Err(missing(what)),
        Choice::Free => Ok(usual.filter(|&at| at < width)),
    };
    let time = if third_is_time { 2 } else { 3 };
    Ok(RatingColumns {
        user: find("user", &asked.user, Some(0))?.ok_or_else(|| missing("user"))?,
        item: find("item", &asked.item, Some(1))?.ok_or_else(|| missing("item"))?,
        rating: find("rating", &asked.rating, (!third_is_time).then_some(2))?,
        time: find("time", &asked.time, every(time, &is_time).then_some(time))?,
    })
}

/// What the first lines of a file of separated columns show.
pub(crate) struct Sniffed {
    pub(crate) separator: Separator,
    /// The first lines, cut.
    pub(crate) rows: Vec<Vec<String>>,
}

/// Finds the separator from the start of a file, or tries out the one that is given.
pub(crate) fn sniff(file: &str, start: &[u8], given: Option<&str>) -> Result<Sniffed, ReadError> {
    let lines: Vec<&[u8]> = complete_lines(start);
    if lines.is_empty() {
        return Err(ReadError::Empty { file: file.to_owned() });
    }
    let found = Separator::CANDIDATES.into_iter().find(|&candidate| {
        let widths: Vec<usize> = cut(&lines, candidate).iter().map(Vec::len).collect();
        widths[0] >= 2 && widths.iter().all(|&width| width == widths[0])
    });
    // Ragged lines: the first separator that cuts the first line at all; the lines that fall short are named later.
    let found = found.or_else(|| {
        Separator::CANDIDATES.into_iter().find(|&candidate| cut(&lines[..1], candidate)[0].len() >= 2)
    });
    let wrong = |separator: String, suggestion: Option<Separator>| ReadError::WrongSeparator {
        file: file.to_owned(),
        line: 1,
        separator,
        suggestion: suggestion.map(Separator::name),
    };
    let separator = match given {
        None => found.ok_or_else(|| wrong("any of , tab ; | :: space".to_owned(), None))?,
        Some(text) => match Separator::parse(text) {
            Some(separator) if cut(&lines[..1], separator)[0].len() >= 2 => separator,
            _ => return Err(wrong(format!("`{text}`"), found)),
        },
    };
    Ok(Sniffed { separator, rows: cut(&lines, separator) })
}

/// The first lines that are not blank, without the last one that may be cut off.
fn complete_lines(start: &[u8]) -> Vec<&[u8]> {
    const LINES: usize = 20;
    let mut lines: Vec<&[u8]> = start
        .split(|&byte| byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .filter(|line| !line.trim_ascii().is_empty())
        .take(LINES + 1)
        .collect();
    if lines.len() > 1 && (lines.len() > LINES || !start.ends_with(b"\n")) {
        lines.pop();
    }
    lines
}

fn cut(lines: &[&[u8]], separator: Separator) -> Vec<Vec<String>> {
    let mut fields = Fields::default();
    lines
        .iter()
        .map(|line| {
            fields.split(line, separator, usize::MAX);
            (0..fields.len()).map(|at| decode(&fields.value(line, at)).into_owned()).collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        text.split(',').map(str::to_owned).collect()
    }

    #[test]
    fn columns_are_recognised() {
        for (header, expected) in [
            ("userId,movieId,rating,timestamp", (0, 1, Some(2), Some(3))),
            ("User-ID,ISBN,Book-Rating", (0, 1, Some(2), None)),
            ("t_dat,customer_id,article_id,price,sales_channel_id", (1, 2, None, Some(0))),
            ("overall,reviewerID,asin,unixReviewTime", (1, 2, Some(0), Some(3))),
        ] {
            let found = named_columns("f", &names(header), &Columns::default()).unwrap();
            assert_eq!((found.user, found.item, found.rating, found.time), expected, "{header}");
        }
    }

    #[test]
    fn what_is_asked_for_goes_first() {
        let header = names("user,who,thing,rating,stars");
        let asked = "user=who,item=3,rating=stars".parse().unwrap();
        let found = named_columns("f", &header, &asked).unwrap();
        assert_eq!((found.user, found.item, found.rating, found.time), (1, 2, Some(4), None));
        let error = named_columns("f", &header, &Columns::default()).unwrap_err();
        assert!(error.to_string().contains("--columns item=NAME"), "{error}");
        let asked = "item=thing,rating=-".parse().unwrap();
        assert_eq!(named_columns("f", &header, &asked).unwrap().rating, None);
    }

    #[test]
    fn unnamed_columns_are_told_by_their_looks() {
        let find = |row: &str| {
            let found = unnamed_columns("f", &[names(row)], &Columns::default()).unwrap();
            (found.rating, found.time)
        };
        assert_eq!(find("1,2"), (None, None));
        assert_eq!(find("1,2,4.5"), (Some(2), None));
        assert_eq!(find("1,2,978300760"), (None, Some(2)));
        assert_eq!(find("1,2,4,978300760"), (Some(2), Some(3)));
        assert_eq!(find("1,2,4,good"), (Some(2), None));
        assert!(unnamed_columns("f", &[names("1")], &Columns::default()).is_err());
    }

    #[test]
    fn separators_are_found() {
        for (text, separator) in [
            ("1::2::3\n", Separator::Colons),
            ("a,b\n1,\"x;y\"\n", Separator::Byte(b',')),
            ("\"User-ID\";\"ISBN\"\n\"1\";\"0,5\"\n", Separator::Byte(b';')),
            ("1 2 3.0\n4 5 1.0\n", Separator::Spaces),
            ("1\t2 x\t3\n4\t5\t1\n", Separator::Byte(b'\t')),
        ] {
            assert_eq!(sniff("f", text.as_bytes(), None).unwrap().separator, separator, "{text}");
        }
        let error = sniff("f", b"a;b\n1;2\n", Some(",")).err().unwrap();
        assert!(error.to_string().contains("--separator ';'"), "{error}");
        assert!(matches!(sniff("f", b"one\ntwo\n", None), Err(ReadError::WrongSeparator { .. })));
        assert!(matches!(sniff("f", b"\n \n", None), Err(ReadError::Empty { .. })));
    }
}
