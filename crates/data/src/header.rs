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
    "yourrating",
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
/// Names of a year that completes a title.
const YEAR: &[&str] = &["year", "releaseyear", "movieyear"];

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

/// Finds one column by what was asked for, then as `otherwise` says.
fn find_column(
    file: &str,
    names: &[String],
    what: &'static str,
    given: Option<&String>,
    otherwise: impl FnOnce() -> Option<usize>,
) -> Result<Option<usize>, ReadError> {
    match choose(given.map(String::as_str), names) {
        Choice::At(at) => Ok(Some(at)),
        Choice::None => Ok(None),
        Choice::Unknown => {
            Err(ReadError::MissingColumn { file: file.to_owned(), what, columns: names.to_vec() })
        }
        Choice::Free => Ok(otherwise()),
    }
}

/// Finds the columns of interactions by what was asked for, then by name.
pub(crate) fn named_columns(
    file: &str,
    names: &[String],
    asked: &Columns,
) -> Result<RatingColumns, ReadError> {
    let missing = |what| ReadError::MissingColumn { file: file.to_owned(), what, columns: names.to_vec() };
    let find = |what, given: &Option<String>, aliases| {
        find_column(file, names, what, given.as_ref(), || by_alias(names, aliases))
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
    let find = |what, given: &Option<String>, usual: Option<usize>| {
        find_column(file, &numbers, what, given.as_ref(), || usual.filter(|&at| at < width))
    };
    let time = if third_is_time { 2 } else { 3 };
    Ok(RatingColumns {
        user: find("user", &asked.user, Some(0))?.ok_or_else(|| missing("user"))?,
        item: find("item", &asked.item, Some(1))?.ok_or_else(|| missing("item"))?,
        rating: find("rating", &asked.rating, (!third_is_time).then_some(2))?,
        time: find("time", &asked.time, every(time, &is_time).then_some(time))?,
    })
}

/// Which column of one person's history holds what, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HistoryColumns {
    pub(crate) user: Option<usize>,
    pub(crate) item: Option<usize>,
    pub(crate) title: Option<usize>,
    /// Completes a title that has no year.
    pub(crate) year: Option<usize>,
    pub(crate) rating: usize,
}

/// Whether the first row of a history names its columns: a name is recognised or was asked for, and no cell is a number.
pub(crate) fn is_history_header(first: &[String], asked: &Columns) -> bool {
    let asked = [&asked.user, &asked.item, &asked.rating, &asked.time];
    !first.iter().any(|cell| parse_decimal(cell.as_bytes()).is_some())
        && (looks_like_header(first)
            || by_alias(first, TITLE).is_some()
            || asked.into_iter().flatten().any(|name| first.contains(name)))
}

/// Finds the columns of a history by what was asked for, then by name.
pub(crate) fn named_history_columns(
    file: &str,
    names: &[String],
    asked: &Columns,
) -> Result<HistoryColumns, ReadError> {
    let find = |what, given: &Option<String>, aliases: &[&[&str]]| {
        let by_name = || aliases.iter().find_map(|aliases| by_alias(names, aliases));
        find_column(file, names, what, given.as_ref(), by_name)
    };
    let missing = |what| ReadError::MissingColumn { file: file.to_owned(), what, columns: names.to_vec() };
    let title = by_alias(names, TITLE);
    let own_key: &[&[&str]] = if title.is_some() { &[ITEM] } else { &[ITEM, OWN_KEY] };
    let item = find("item", &asked.item, own_key)?;
    if item.or(title).is_none() {
        return Err(missing("item"));
    }
    Ok(HistoryColumns {
        user: find("user", &asked.user, &[USER])?,
        item,
        title: title.filter(|title| Some(*title) != item),
        year: by_alias(names, YEAR),
        rating: find("rating", &asked.rating, &[RATING])?.ok_or_else(|| missing("rating"))?,
    })
}

/// Finds the columns of a history without names: what was asked for, then by their looks. A file in which more than one
/// reading makes sense is refused.
pub(crate) fn unnamed_history_columns(
    file: &str,
    rows: &[Vec<String>],
    asked: &Columns,
) -> Result<HistoryColumns, ReadError> {
    let width = rows.first().map_or(0, Vec::len);
    let every = |at: usize, test: &dyn Fn(&str) -> bool| {
        at < width && rows.iter().all(|row| row.get(at).is_some_and(|cell| test(cell)))
    };
    let numbers = |at| every(at, &|text| parse_decimal(text.as_bytes()).is_some());
    let late = |at| {
        every(at, &|text| match parse_decimal(text.as_bytes()) {
            Some(number) => number > 1e8,
            None => parse_time(text.as_bytes()).is_some(),
        })
    };
    let one_user = rows.len() > 1 && every(0, &|text| text == rows[0][0]);
    let with_user = (Some(0), 1, 2);
    let looks = if width == 2 || (numbers(1) && (!numbers(2) || late(2))) {
        Some((None, 0, 1))
    } else if width > 2 && (!numbers(1) || one_user || late(3)) {
        Some(with_user)
    } else {
        None
    };
    let names: Vec<String> = (1..=width).map(|number| number.to_string()).collect();
    let find = |what, given: &Option<String>, usual: Option<usize>| {
        find_column(file, &names, what, given.as_ref(), || usual)
    };
    let said = asked.item.is_some() && asked.rating.is_some();
    let (user, item, rating) = match looks {
        _ if said => (None, 0, 0),
        Some(looks) => looks,
        None => {
            let reason = "without names it cannot be told which column is which; add a first line such as \
                          item,rating, or say it with --columns item=1,rating=2";
            return Err(ReadError::Unsupported { file: file.to_owned(), reason: reason.to_owned() });
        }
    };
    let missing = |what| ReadError::MissingColumn { file: file.to_owned(), what, columns: names.clone() };
    Ok(HistoryColumns {
        user: find("user", &asked.user, user)?,
        item: Some(find("item", &asked.item, Some(item))?.ok_or_else(|| missing("item"))?),
        title: None,
        year: None,
        rating: find("rating", &asked.rating, Some(rating))?.ok_or_else(|| missing("rating"))?,
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
