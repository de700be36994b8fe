//! `foldin data`: look at, download or convert data sets.

use crate::common::Global;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args, _global: &Global) -> anyhow::Result<()> {
    Ok(())
}
