//! `foldin models activations`: the activation functions, and what networks made of them.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use foldin_core::ModelParts;
use foldin_eval::html::{Panel, Stroke, render_panels};
use foldin_nn::activation::{Activation, Parameter, Sharing};
use serde::Serialize;

use crate::common::{check_writable, print, print_json, table, write_file};
use crate::models::load;

const EXAMPLES: &str = "\
Examples:
  foldin models activations
  foldin train --data ml-100k --model u-autorec --set hidden_activation=prelu --out prelu
  foldin models activations --learned prelu --svg curves.svg";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Draw the curve of each activation as it starts
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Draw besides what a model learned, by its folder: some units of its first hidden layer, and the mean of all. May be given often
    #[arg(long, value_name = "DIR", requires = "svg")]
    learned: Vec<PathBuf>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if let Some(svg) = &args.svg {
        check_writable(svg)?;
        let learned =
            args.learned.iter().map(|folder| Learned::read(folder)).collect::<anyhow::Result<Vec<_>>>()?;
        let panels: Vec<Panel> = Activation::ALL
            .iter()
            .map(|&activation| panel(activation, learned.iter().find(|own| own.activation == activation)))
            .collect();
        write_file(svg, &render_panels("activations", &panels)?)?;
    }
    if args.json {
        let list: Vec<_> = Activation::ALL.into_iter().map(Described::from).collect();
        return print_json(&list);
    }
    let mut out = table(["activation", "formula", "trained: start, range", "shared by", "source"]);
    for activation in Activation::ALL {
        let parameters: Vec<String> = activation.parameters().iter().map(in_words).collect();
        let sharing = activation.sharings().iter().map(ToString::to_string).collect::<Vec<_>>();
        let or_none = |text: String| if text.is_empty() { "–".to_owned() } else { text };
        out.add_row([
            activation.name().to_owned(),
            activation.formula().to_owned(),
            or_none(parameters.join("\n")),
            or_none(sharing.join(" or ")),
            activation.source().to_owned(),
        ]);
    }
    print(out)?;
    print(
        "\ns is the logistic function 1/(1 + e⁻ˣ); ranges are kept after each step\n\
         shared by: each unit of a layer its own parameters, or the layer one set, as `activation_sharing` says; of an output always the layer\n\
         follows: not trained, but a running moment of what comes in, still while serving",
    )
}

/// An activation as JSON.
#[derive(Serialize)]
struct Described {
    name: &'static str,
    formula: &'static str,
    parameters: &'static [Parameter],
    sharing: &'static [Sharing],
    source: &'static str,
}

impl From<Activation> for Described {
    fn from(activation: Activation) -> Self {
        Self {
            name: activation.name(),
            formula: activation.formula(),
            parameters: activation.parameters(),
            sharing: activation.sharings(),
            source: activation.source(),
        }
    }
}

fn in_words(parameter: &Parameter) -> String {
    let Parameter { name, initial, min, max, follows } = parameter;
    let follows = if *follows { ", follows" } else { "" };
    format!("{name} = {initial}, {min} to {max}{follows}")
}

/// The parameters of a model's first hidden layer.
struct Learned {
    activation: Activation,
    /// Of each unit, or one set for all.
    sets: Vec<Vec<f32>>,
}

impl Learned {
    fn read(folder: &Path) -> anyhow::Result<Self> {
        let loaded = load(folder)?;
        let config = &loaded.manifest.config;
        let name = config.get("hidden_activation").or_else(|| config.get("activation"));
        let activation = name.and_then(|name| serde_json::from_value::<Activation>(name.clone()).ok());
        let activation = activation.with_context(|| {
            format!("{}: {} has no activation to choose", folder.display(), loaded.model.name())
        })?;
        let ModelParts { tensors, .. } = loaded.model.to_parts();
        let Some(parameters) = tensors.get("hidden_0_activation") else {
            bail!("{}: `{}` has no trained parameters", folder.display(), activation.name());
        };
        let n = activation.parameters().len().max(1);
        let units = parameters.data.len() / n;
        let of = |unit: usize| parameters.data.iter().skip(unit).step_by(units.max(1)).copied().collect();
        Ok(Self { activation, sets: (0..units).map(of).collect() })
    }
}

/// How far to both sides curves go, points on each, and units that are drawn.
const REACH: f32 = 4.0;
const POINTS: usize = 25;
const UNITS: usize = 4;

fn panel(activation: Activation, learned: Option<&Learned>) -> Panel {
    let x: Vec<f32> = (0..POINTS).map(|at| REACH * (2.0 * at as f32 / (POINTS - 1) as f32 - 1.0)).collect();
    let values = |set: &[f32]| {
        let mut out = vec![0.0; POINTS];
        activation.forward(set, 1, &x, &mut out);
        out
    };
    let curve = |y: &[f32]| x.iter().zip(y).map(|(&x, &y)| (f64::from(x), f64::from(y))).collect();
    let start = values(&activation.initial(Sharing::Layer, 1));
    let mut curves = vec![(Stroke::Before, curve(&start))];
    if let Some(Learned { sets, .. }) = learned {
        if sets.len() > 1 {
            let drawn = sets.iter().step_by(sets.len().div_ceil(UNITS));
            curves.extend(drawn.map(|set| (Stroke::One, curve(&values(set)))));
        }
        let mut mean = vec![0.0; POINTS];
        for set in sets {
            mean.iter_mut().zip(values(set)).for_each(|(mean, y)| *mean += y / sets.len() as f32);
        }
        curves.push((Stroke::All, curve(&mean)));
    }
    Panel { title: activation.name().to_owned(), curves }
}
