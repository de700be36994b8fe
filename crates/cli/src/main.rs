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
mod logs;
mod models;
mod person;
mod progress;
mod recipe;
mod sample;
mod service;
mod settings;

use std::process::ExitCode;
use std::sync::LazyLock;

use clap::{Parser, Subcommand};
use foldin_nn::simd::Level;

use crate::common::Global;

/// Real-time recommendations: a user's latent factors are generated from their history in one pass.
#[derive(Debug, Parser)]
#[command(name = "foldin", version, long_version = long_version(), propagate_version = true, after_help = EXAMPLES)]
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
  foldin serve --model model --store store                  answer over HTTP
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
    /// Search for good settings of a model, by a part of the training data
    Tune(commands::tune::Args),
    /// Recommend items to a user, known or never seen
    Recommend(commands::recommend::Args),
    /// Predict what a user would rate given items
    Predict(commands::predict::Args),
    /// Serve a trained model over HTTP: what is written now is in the next answer
    Serve(Box<commands::serve::Args>),
    /// Put the histories of a data set into a store
    Import(commands::import::Args),
    /// Make, list and revoke API keys of a server
    Keys(commands::keys::Args),
    /// Show what is in a model folder
    Inspect(commands::inspect::Args),
    /// Rebuild a table of the papers, with the published figures beside ours
    Reproduce(commands::reproduce::Args),
    /// Recommend by pictures, and make pictures of new items
    #[cfg(feature = "vision")]
    Vision(commands::vision::Args),
}

/// What training frees goes back to the system: with the allocator of glibc a server that trains again and again keeps all that the greedy
/// moments of its threads took, several times what it needs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if common::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", common::in_one_line(&error));
            ExitCode::from(if common::is_usage(&error) { 2 } else { 1 })
        }
    }
}

/// The version, and the instruction set that results depend on.
fn long_version() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let level = match foldin_nn::simd::level() {
            Level::Scalar => "scalar",
            Level::Avx2 => "avx2",
            Level::Avx512 => "avx512",
        };
        format!("{}\ninstruction set: {level} ({SIMD_VARIABLE} lowers it)", env!("CARGO_PKG_VERSION"))
    });
    &TEXT
}

/// Names an instruction set; see [`foldin_nn::simd`].
const SIMD_VARIABLE: &str = "FOLDIN_SIMD";

/// A misspelt instruction set would go unnoticed: the best one is used then.
fn warn_of_unknown_instruction_set(global: &Global) {
    if let Some(value) = std::env::var_os(SIMD_VARIABLE)
        && !["", "scalar", "avx2", "avx512"].iter().any(|known| value == *known)
    {
        global.remark(format!(
            "warning: {SIMD_VARIABLE}={} is none of scalar, avx2 and avx512; the best of this machine is used",
            value.display()
        ));
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let global = &cli.global;
    warn_of_unknown_instruction_set(global);
    global.install_threads()?;
    match cli.command {
        Command::Quickstart(args) => commands::quickstart::run(&args, global),
        Command::Data(args) => commands::data::run(&args, global),
        Command::Models(args) => commands::models::run(&args),
        Command::Train(args) => commands::train::run(&args, global),
        Command::Evaluate(args) => commands::evaluate::run(&args, global),
        Command::Tune(args) => commands::tune::run(&args, global),
        Command::Recommend(args) => commands::recommend::run(&args, global),
        Command::Predict(args) => commands::predict::run(&args, global),
        Command::Serve(args) => commands::serve::run(&args, global),
        Command::Import(args) => commands::import::run(&args, global),
        Command::Keys(args) => commands::keys::run(&args),
        Command::Inspect(args) => commands::inspect::run(&args),
        Command::Reproduce(args) => commands::reproduce::run(&args, global),
        #[cfg(feature = "vision")]
        Command::Vision(args) => commands::vision::run(&args, global),
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
