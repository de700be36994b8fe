//! A study as one page that needs nothing else.

use std::fmt::Write as _;

use super::report::{COLUMNS, Difference, Study, in_words, signed};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:75rem;margin:2rem auto;padding:0 1rem;color:#1c2330;background:#fff}\
table{border-collapse:collapse;margin:1rem 0}td,th{padding:.25rem .75rem;text-align:right;border-bottom:1px solid #d8dde6}\
td:first-child,th:first-child{text-align:left}h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}.quiet{color:#5b6575}\
img{image-rendering:pixelated;max-width:100%}\
@media(prefers-color-scheme:dark){body{color:#e6e9ef;background:#14181f}td,th{border-color:#333b48}.quiet{color:#9aa4b5}}";

/// A picture of a page: a heading, what it shows, and the bytes of a PNG.
#[derive(Clone, Debug)]
pub struct Picture {
    /// Heading.
    pub heading: String,
    /// What is seen.
    pub caption: String,
    /// PNG.
    pub png: Vec<u8>,
}

/// A table of a page: a heading, what has to be known to read it, and rows under columns.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// Heading.
    pub heading: String,
    /// What has to be known, a paragraph each.
    pub notes: Vec<String>,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Rows, as long as the columns.
    pub rows: Vec<Vec<String>>,
}

/// Draws studies, tables and pictures as one page.
#[must_use]
pub fn page(title: &str, studies: &[&Study], tables: &[Table], pictures: &[Picture]) -> String {
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{0}</title><style>{STYLE}</style></head><body>\n<h1>{0}</h1>\n",
        escape(title)
    );
    for study in studies {
        one(&mut out, study);
    }
    for Table { heading, notes, columns, rows } in tables {
        let _ = writeln!(out, "<h2>{}</h2>", escape(heading));
        for note in notes {
            let _ = writeln!(out, "<p class=\"quiet\">{}</p>", escape(note));
        }
        table(&mut out, columns, rows);
    }
    let of_studies = studies.iter().flat_map(|study| &study.pictures);
    for Picture { heading, caption, png } in of_studies.chain(pictures) {
        let _ = writeln!(
            out,
            "<h2>{}</h2>\n<img alt=\"{1}\" src=\"data:image/png;base64,{2}\">\n<p class=\"quiet\">{1}</p>",
            escape(heading),
            escape(caption),
            base64(png)
        );
    }
    out + "</body></html>\n"
}

fn one(out: &mut String, study: &Study) {
    let _ = writeln!(out, "<h2>{}</h2>", escape(&study.title));
    for line in study.about.iter().chain(&study.data) {
        let _ = writeln!(out, "<p class=\"quiet\">{}</p>", escape(line));
    }
    let header: Vec<String> = COLUMNS.map(|(name, _)| name.to_owned()).to_vec();
    let mut rows = Vec::new();
    for model in &study.models {
        let mut cells = vec![model.name.clone()];
        cells.extend(COLUMNS.map(|(_, of)| in_words(model.mean(of))));
        let seconds = model.seconds.iter().sum::<f64>() / model.seconds.len().max(1) as f64;
        cells.push(if seconds > 0.0 { format!("{seconds:.0} s") } else { String::new() });
        rows.push(cells);
    }
    let mut columns = vec!["model".to_owned()];
    columns.extend(header);
    columns.push("fit".to_owned());
    table(out, &columns, &rows);
    let by_seed = |first: &str| -> Vec<String> {
        std::iter::once(first.to_owned())
            .chain(study.seeds.iter().map(|seed| format!("split {seed}")))
            .collect()
    };
    if study.seeds.len() > 1 {
        let rows: Vec<Vec<String>> = study
            .models
            .iter()
            .map(|model| {
                let of = |report: &crate::evaluate::AucReport| {
                    in_words(report.all.map(|all| (all.mean, all.ci95)))
                };
                std::iter::once(model.name.clone()).chain(model.splits.iter().map(of)).collect()
            })
            .collect();
        table(out, &by_seed("all items"), &rows);
    }
    if !study.differences.is_empty() {
        let row = |Difference { model, than, splits }: &Difference| -> Vec<String> {
            let name = format!("{model} − {than}");
            std::iter::once(name).chain(splits.iter().map(|figure| signed(*figure))).collect()
        };
        let rows: Vec<Vec<String>> = study.differences.iter().map(row).collect();
        table(out, &by_seed("paired, user by user"), &rows);
    }
    let trained = study.models.iter().filter(|model| model.epochs.iter().any(|epochs| !epochs.is_empty()));
    for model in trained {
        for (seed, epochs) in study.seeds.iter().zip(&model.epochs) {
            let epochs: Vec<String> = epochs.iter().map(|auc| format!("{auc:.3}")).collect();
            let _ = writeln!(
                out,
                "<p class=\"quiet\">{}, split {seed}, validation AUC by epoch: {}</p>",
                escape(&model.name),
                epochs.join(" ")
            );
        }
    }
    for finding in &study.findings {
        let _ = writeln!(out, "<p>{}</p>", escape(finding));
    }
}

fn table(out: &mut String, header: &[String], rows: &[Vec<String>]) {
    out.push_str("<table><tr>");
    header.iter().for_each(|name| *out += &format!("<th>{}</th>", escape(name)));
    out.push_str("</tr>\n");
    for row in rows {
        out.push_str("<tr>");
        row.iter().for_each(|cell| *out += &format!("<td>{}</td>", escape(cell)));
        out.push_str("</tr>\n");
    }
    out.push_str("</table>\n");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn base64(bytes: &[u8]) -> String {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let sign = SIGNS[(bits >> (18 - 6 * place)) as usize & 63];
            out.push(if place <= group.len() { char::from(sign) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_in_64_signs() {
        for (text, expected) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(text.as_bytes()), expected);
        }
    }

    #[test]
    fn names_cannot_break_the_page() {
        let study = Study { title: "<b>".into(), seeds: vec![1], ..Study::default() };
        let rows = vec![vec!["<i>".to_owned()]];
        let table = Table { heading: "<u>".into(), columns: vec!["x".into()], rows, ..Table::default() };
        let page = page("a & b", &[&study], &[table], &[]);
        assert!(page.contains("&lt;i&gt;") && page.contains("<h2>&lt;u&gt;</h2>"));
        assert!(page.contains("a &amp; b") && page.contains("&lt;b&gt;") && !page.contains("<b>"));
    }
}
