//! Tables and statements that set figures of a report beside what others published.

use crate::published::{Claim, Published, PublishedFigure};
use crate::report::{EvalReport, ModelReport};
use crate::statistics::{PairedTest, holm, mean};
use crate::table::{Grid, costs, figure, in_words, p_value};

/// Where a difference counts as sure.
const SURE: f64 = 0.05;

/// What stands where nothing is known.
const NONE: &str = "–";

/// Figures and the published ones: rows are models and columns figures where the publication names columns, else a line a model.
pub(crate) fn figures_beside(report: &EvalReport, published: &Published) -> Grid {
    if published.metrics.is_empty() { by_line(report, published) } else { by_column(report, published) }
}

fn by_line(report: &EvalReport, published: &Published) -> Grid {
    let rows = published.paper.iter().filter_map(|paper| {
        let model = report.model(&paper.label)?;
        let ours = model.metrics.get(&paper.metric);
        Some(vec![
            paper.label.clone(),
            in_words(&paper.metric),
            paper.mean.map_or_else(|| NONE.to_owned(), |mean| format!("{mean:.4}")),
            ours.map_or_else(|| NONE.to_owned(), figure),
        ])
    });
    Grid { header: ["model", "figure", "paper", "ours"].map(str::to_owned).to_vec(), rows: rows.collect() }
}

fn by_column(report: &EvalReport, published: &Published) -> Grid {
    let against = report.models.first().map_or("", |model| model.label.as_str());
    let mut header = vec!["model".to_owned(), "by".to_owned()];
    header.extend(published.metrics.iter().map(|name| in_words(name)));
    header.extend([format!("{} − {against}", in_words(&report.main_metric)), "p (Holm)".to_owned()]);
    header.push("fit".to_owned());
    let mut rows = Vec::new();
    for paper in &published.paper {
        let Some(model) = report.model(&paper.label) else { continue };
        rows.push(own_row(model, paper, &published.metrics));
        for other in &paper.others {
            let mut row = vec![paper.label.clone(), other.by.clone()];
            row.extend(published.metrics.iter().map(|name| {
                other
                    .figures
                    .get(name)
                    .map_or_else(|| NONE.to_owned(), |&(mean, deviation)| spread(mean, deviation))
            }));
            row.resize(header.len(), String::new());
            rows.push(row);
        }
    }
    Grid { header, rows }
}

fn own_row(model: &ModelReport, paper: &PublishedFigure, metrics: &[String]) -> Vec<String> {
    let mut row = vec![paper.label.clone(), "ours".to_owned()];
    row.extend(metrics.iter().map(|name| match model.metrics.get(name) {
        Some(summary) => spread(summary.mean, summary.sd_fits),
        None => model.cannot.clone().unwrap_or_else(|| NONE.to_owned()),
    }));
    let paired = model.paired.as_ref();
    row.push(paired.map_or_else(String::new, |paired| format!("{:+.4}", paired.test.mean_difference)));
    row.push(paired.map_or_else(String::new, |paired| p_value(&paired.test)));
    row.extend(costs(model).into_iter().take(1));
    row
}

/// A mean with its standard deviation over fits.
fn spread(mean: f64, deviation: Option<f64>) -> String {
    let deviation = deviation.map_or_else(String::new, |deviation| format!(" ± {deviation:.4}"));
    format!("{mean:.4}{deviation}")
}

/// The lengths of lists that a figure was measured at, in order.
pub(crate) fn lengths(report: &EvalReport, figure: &str) -> Vec<usize> {
    let names = crate::table::metric_names(report).into_iter();
    names.filter_map(|name| name.strip_prefix(figure)?.strip_prefix('@')?.parse().ok()).collect()
}

/// A table for each figure that is to be shown by length of the list: its name, then lines of models, and of their differences from the
/// first with their p-values over users (Holm's over models) and over fits.
pub(crate) fn by_cutoff(report: &EvalReport, published: &Published) -> Vec<(String, Grid)> {
    published.by_cutoff.iter().map(|figure| (in_words(figure), of_figure(report, figure))).collect()
}

fn of_figure(report: &EvalReport, figure: &str) -> Grid {
    let names: Vec<String> =
        lengths(report, figure).iter().map(|length| format!("{figure}@{length}")).collect();
    let against = report.models.first().map_or("", |model| model.label.as_str());
    let line = |title: String, cell: &dyn Fn(&str) -> Option<String>| {
        let cells = names.iter().map(|name| cell(name).unwrap_or_else(|| NONE.to_owned()));
        [title].into_iter().chain(cells).collect::<Vec<_>>()
    };
    let mut rows = Vec::new();
    for model in &report.models {
        rows.push(line(model.label.clone(), &|name| {
            model.metrics.get(name).map(|summary| spread(summary.mean, summary.sd_fits))
        }));
    }
    for model in &report.models {
        let Some(paired) = &model.paired else { continue };
        let of = |name: &str| paired.by_metric.get(name);
        let title = format!("{} − {against}", model.label);
        rows.push(line(title, &|name| of(name).map(|test| format!("{:+.4}", test.mean_difference))));
        rows.push(line("p over users (Holm)".to_owned(), &|name| of(name).map(p_value)));
        if paired.by_metric.iter().any(|(_, test)| test.p_fits.is_some()) {
            rows.push(line("p over fits".to_owned(), &|name| {
                Some(p_value(&PairedTest { p: of(name)?.p_fits, p_holm: None, ..of(name)?.clone() }))
            }));
        }
    }
    let header = names.iter().map(|name| name.replacen(figure, "", 1)).collect::<Vec<_>>();
    Grid { header: [vec![in_words(figure)], header].concat(), rows }
}

/// For each published claim what was measured, in words, and whether the claim holds: the mean difference over all lengths of the list
/// must reach it when rounded to whole points.
pub(crate) fn verdicts(report: &EvalReport, published: &Published) -> Vec<String> {
    let measured: Vec<(&Claim, Vec<(usize, &PairedTest)>)> = published
        .claims
        .iter()
        .filter_map(|claim| {
            let tests = &report.model(&claim.model)?.paired.as_ref()?.by_metric;
            let of_lengths = lengths(report, &claim.figure).into_iter();
            let found: Vec<_> = of_lengths
                .filter_map(|length| Some((length, tests.get(&format!("{}@{length}", claim.figure))?)))
                .collect();
            (!found.is_empty()).then_some((claim, found))
        })
        .collect();
    // Everything asked about the claims is one family.
    let family = || measured.iter().flat_map(|(_, tests)| tests);
    let corrected = |pick: fn(&PairedTest) -> Option<f64>| {
        family().map(|(_, test)| pick(test)).collect::<Option<Vec<f64>>>().map(|p| holm(&p))
    };
    let (users, fits) = (corrected(|test| test.p), corrected(|test| test.p_fits));
    let first = report.models.first().map_or("", |model| model.label.as_str());
    let mut at = 0;
    measured
        .iter()
        .map(|(claim, tests)| {
            let range = at..at + tests.len();
            at = range.end;
            let sure = |p: &Option<Vec<f64>>, over: &str| {
                p.as_ref().map(|p| {
                    let sure = p[range.clone()].iter().filter(|&&p| p < SURE).count();
                    format!("sure over {over} (Holm, p < {SURE}) at {sure}")
                })
            };
            let sure: Vec<String> =
                [sure(&users, "users"), sure(&fits, "fits")].into_iter().flatten().collect();
            statement(claim, tests, first, &sure.join(", "))
        })
        .collect()
}

fn statement(claim: &Claim, tests: &[(usize, &PairedTest)], first: &str, sure: &str) -> String {
    let points: Vec<f64> = tests.iter().map(|(_, test)| 100.0 * test.mean_difference).collect();
    let average = mean(&points).unwrap_or(0.0);
    let extreme = |better: fn(f64, f64) -> bool| {
        (0..points.len()).fold(0, |best, at| if better(points[at], points[best]) { at } else { best })
    };
    let (least, most) = (extreme(|a, b| a < b), extreme(|a, b| a > b));
    let above = points.iter().filter(|&&points| points > 0.0).count();
    let reached = points.iter().filter(|points| points.round() >= claim.points).count();
    let holds = if average.round() >= claim.points { "The claim holds" } else { "The claim does not hold" };
    let sure = if sure.is_empty() { String::new() } else { format!("; the difference is {sure}") };
    format!(
        "Claimed: {} gains {} points of {} over {first}. Measured: {average:+.2} points on average over {} lengths of the list, from {:+.2} at \
         {} to {:+.2} at {}; above at {above} of {}, by as much as claimed at {reached}{sure}. {holds}.",
        claim.model,
        claim.points,
        in_words(&claim.figure),
        tests.len(),
        points[least],
        tests[least].0,
        points[most],
        tests[most].0,
        tests.len(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test_of(difference: f64) -> PairedTest {
        PairedTest {
            mean_difference: difference,
            ci95: None,
            p: None,
            p_holm: None,
            p_fits: None,
            folds: Vec::new(),
        }
    }

    #[test]
    fn a_claim_holds_where_the_mean_rounds_to_it() {
        let claim = Claim { model: "B".to_owned(), figure: "precision".to_owned(), points: 4.0 };
        let say = |differences: [f64; 3]| {
            let tests = differences.map(test_of);
            let tests: Vec<_> = [5, 10, 20].into_iter().zip(&tests).collect();
            statement(&claim, &tests, "A", "")
        };
        assert_eq!(
            say([0.036, 0.05, -0.01]),
            "Claimed: B gains 4 points of precision over A. Measured: +2.53 points on average over 3 lengths of the list, from -1.00 at 20 \
             to +5.00 at 10; above at 2 of 3, by as much as claimed at 2. The claim does not hold."
        );
        assert!(say([0.036, 0.036, 0.036]).ends_with("at 3. The claim holds."));
    }
}
