//! The `foldin` binary: exit code 0 if it did what was asked, 1 if it could not, 2 if it was asked wrongly.
#![expect(
    clippy::print_stderr,
    clippy::exit,
    reason = "a command line speaks on the terminal, and a second Ctrl-C ends it"
)]

mod checkpoint;
mod commands;
mod common;
mod data_args;
mod models;
mod person;
mod progress;
mod recipe;
mod sample;
mod settings;
mod titles;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::common::Global;

/// Real-time recommendations: a user's latent factors are generated from their history in one pass.
#[derive(Debug, Parser)]
#[command(name = "foldin", version, propagate_version = true, after_help = EXAMPLES)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  foldin quickstart                                         train, compare and recommend in one go
  foldin data info --data ml-100k                           what is in a data set
  foldin train --data ml-100k --model lfg-bayes --out model train a model and keep it in a folder
  foldin recommend --model model --rate \"Toy Story (1995)=5\" -n 10
  foldin evaluate --data ml-100k --protocol new-users --models bias-svd,lfg,lfg-bayes
  foldin reproduce lfg-table1                               a table of the paper beside ours

Data sets are found by path, or by name in --data-dir, $FOLDIN_DATA_DIR and the download cache.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Train, compare and recommend on MovieLens 100K (or built-in data): the quickest way to see it work
    Quickstart(commands::quickstart::Args),
    /// Look at, download or convert data sets
    Data(commands::data::Args),
    /// List models, or show every setting of one
    Models(commands::models::Args),
    /// Train a model and write it to a folder
    Train(commands::train::Args),
    /// Measure models against each other on held-out ratings or held-out users
    Evaluate(commands::evaluate::Args),
    /// Recommend items to a user, known or never seen
    Recommend(commands::recommend::Args),
    /// Predict what a user would rate given items
    Predict(commands::predict::Args),
    /// Show what is in a model folder
    Inspect(commands::inspect::Args),
    /// Rebuild a table of the papers, with the published figures beside ours
    Reproduce(commands::reproduce::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if common::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", common::in_one_line(&error));
            ExitCode::from(if error.is::<common::Usage>() { 2 } else { 1 })
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let global = &cli.global;
    global.install_threads()?;
    match cli.command {
        Command::Quickstart(args) => commands::quickstart::run(&args, global),
        Command::Data(args) => commands::data::run(&args, global),
        Command::Models(args) => commands::models::run(&args),
        Command::Train(args) => commands::train::run(&args, global),
        Command::Evaluate(args) => commands::evaluate::run(&args, global),
        Command::Recommend(args) => commands::recommend::run(&args, global),
        Command::Predict(args) => commands::predict::run(&args, global),
        Command::Inspect(args) => commands::inspect::run(&args),
        Command::Reproduce(args) => commands::reproduce::run(&args, global),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
