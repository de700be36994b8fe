//! `foldin quickstart`: train, compare, recommend and serve, with nothing but this binary.

use std::path::PathBuf;
use std::time::Instant;

use foldin_core::{Dataset, FitContext, ItemId, UserView};
use foldin_data::OpenOptions;
use foldin_engine::{Catalogue, Serving, Wish};
use foldin_eval::{EvalOptions, ModelRequest, Protocol};

use crate::commands::data::fetch;
use crate::commands::evaluate::evaluate;
use crate::commands::recommend::{INFLUENCES, print_answer, recommend};
use crate::commands::serve::serve_for_a_try;
use crate::commands::train::save;
use crate::common::{Global, check_writable, print, seconds_in_words, write_file};
use crate::models::{find, load};
use crate::person::Person;
use crate::progress::{FitBar, cancel_on_ctrl_c};
use crate::sample;

const MODELS: [&str; 3] = ["bias-svd", "lfg", "lfg-bayes"];
const EXAMPLE_RATINGS: [(&str, f32); 5] = [
    ("Star Wars (1977)", 5.0),
    ("Empire Strikes Back, The (1980)", 5.0),
    ("Alien (1979)", 4.0),
    ("Four Weddings and a Funeral (1994)", 2.0),
    ("Titanic (1997)", 1.0),
];

const EXAMPLES: &str = "\
Examples:
  foldin quickstart                             MovieLens 100K, found or downloaded
  foldin quickstart --generated --out try       without a network, into the folder try
  foldin quickstart --no-serve                  for scripts: stop instead of serving the dashboard";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Folder for the reports and the trained model
    #[arg(long, default_value = "runs/quickstart", value_name = "DIR")]
    out: PathBuf,
    /// Use the built-in generated data even if MovieLens could be had
    #[arg(long)]
    generated: bool,
    /// Stop at the end, and do not serve the dashboard
    #[arg(long)]
    no_serve: bool,
}

pub(crate) fn run(args: &Args, global: &Global) -> anyhow::Result<()> {
    let begin = Instant::now();
    check_writable(&args.out.join("known-users.json"))?;
    let dataset = if args.generated { sample::generated(1)? } else { find_data(global)? };
    print(format!(
        "Data: {}, {} ratings of {} users on {} items\n",
        dataset.name,
        dataset.interactions.len(),
        dataset.interactions.n_users(),
        dataset.interactions.n_items()
    ))?;
    let models =
        MODELS.iter().map(|name| Ok(ModelRequest::new(*find(name)?))).collect::<anyhow::Result<Vec<_>>>()?;
    for (protocol, heading, file) in [
        (
            Protocol::Ratings,
            "1. Known users: a fifth of everybody's ratings is hidden and predicted (fold 1 of 5)",
            "known-users",
        ),
        (
            Protocol::NewUsers,
            "2. New users: a fifth of the users is kept out of training; error by how many ratings they give (fold 1 of 5)",
            "new-users",
        ),
    ] {
        print(heading)?;
        let options = EvalOptions { protocol, only_folds: vec![1], ..EvalOptions::default() };
        let report = evaluate(&dataset, &models, options, global)?;
        print(foldin_eval::table::render(&report))?;
        write_file(&args.out.join(format!("{file}.json")), &report.to_json())?;
        write_file(&args.out.join(format!("{file}.html")), &foldin_eval::html::render(&report)?)?;
    }

    print("3. Somebody who was never seen")?;
    let entry = find("lfg-bayes")?;
    let bar = FitBar::new("lfg-bayes on all ratings", global.shows_progress());
    let settings = foldin_core::registry::Settings::new();
    let model = entry.fit(
        &settings,
        &dataset.training_data(),
        &FitContext { progress: &bar, cancel: cancel_on_ctrl_c()?, ..FitContext::new(1) },
    );
    bar.finish();
    let folder = args.out.join("model");
    save(&folder, &*model?, &dataset, entry.resolve(&settings)?, serde_json::json!({"seed": 1}), true)?;
    let loaded = load(&folder)?;
    let person = example_person(&dataset);
    for (&item, value) in person.items.iter().zip(&person.values) {
        print(format!("   rates {} {value}", loaded.titles[item as usize]))?;
    }
    let serving = Serving::new(loaded, "")?;
    let wish = Wish { explain: INFLUENCES, ..Wish::default() };
    print_answer(&recommend(&serving, &Catalogue::new(&serving), &person, &wish)?)?;
    if let Some((generator, _)) = serving.generator() {
        let view = person.view();
        print(format!(
            "the factors alone take {} (median of 1,000)",
            seconds_in_words(median_generation(generator, view))
        ))?;
    }
    print(format!(
        "\nDone in {}. Reports and the model are in {}\nNext: foldin recommend --model {} --rate \"TITLE=RATING\" …, and `foldin --help`",
        seconds_in_words(begin.elapsed().as_secs_f64()),
        args.out.display(),
        folder.display()
    ))?;
    if args.no_serve {
        return Ok(());
    }
    serve_for_a_try(&folder, &dataset, global)
}

/// MovieLens 100K from disk, else from the network, else generated data; says which.
fn find_data(global: &Global) -> anyhow::Result<Dataset> {
    let options = OpenOptions { data_dir: global.data_dir.clone(), ..OpenOptions::default() };
    if foldin_data::is_present("ml-100k", &options) {
        return Ok(foldin_data::open("ml-100k", &options)?);
    }
    global.remark("MovieLens 100K is not on this machine; downloading it from files.grouplens.org …");
    match fetch("ml-100k", global) {
        Ok(_) => Ok(foldin_data::open("ml-100k", &options)?),
        Err(error) => {
            global.remark(format!("That did not work ({error:#})."));
            print(
                "MovieLens 100K can be neither found nor downloaded: these are BUILT-IN GENERATED data, and figures on them say nothing about real ones.\n",
            )?;
            sample::generated(1)
        }
    }
}

/// A few well-known films where the catalogue has them; otherwise the five most rated items, the first ones liked.
fn example_person(dataset: &Dataset) -> Person {
    let by_title = |title: &str| dataset.titles.iter().position(|other| other == title);
    let mut rated: Vec<(u32, f32)> = EXAMPLE_RATINGS
        .iter()
        .filter_map(|&(title, value)| by_title(title).map(|item| (item as u32, value)))
        .collect();
    if rated.len() < EXAMPLE_RATINGS.len() {
        let counts: Vec<f32> = (0..dataset.interactions.n_items())
            .map(|item| dataset.interactions.by_item().row_len(item) as f32)
            .collect();
        let popular = foldin_core::top_k(&counts, EXAMPLE_RATINGS.len(), &[]);
        rated = popular
            .iter()
            .zip(EXAMPLE_RATINGS)
            .map(|(scored, (_, value))| (ItemId::index(scored.item) as u32, value))
            .collect();
    }
    rated.sort_by_key(|&(item, _)| item);
    let (items, values) = rated.into_iter().unzip();
    Person { items, values, ..Person::default() }
}

/// Median time to generate one user's factors.
fn median_generation(generator: &dyn foldin_core::Generator, view: UserView<'_>) -> f64 {
    let mut seconds: Vec<f64> = (0..1000)
        .map(|_| {
            let begin = Instant::now();
            let factors = generator.generate(std::slice::from_ref(&view));
            std::hint::black_box(&factors);
            begin.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}
