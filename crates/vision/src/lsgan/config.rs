//! Settings of the generator and its discriminator, and the ones that were published.

use foldin_core::config::ModelConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::images::{BuildOptions, Fit};

/// How the generator doubles height and width.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Upsampling {
    /// A transposed convolution with a window of 3 and a stride of 2, as published. Pixels are covered by one, two or four taps by
    /// turns, which shows as a checkerboard.
    #[default]
    Deconvolution,
    /// The same with a window of 4: every pixel is covered by four taps.
    EvenDeconvolution,
    /// Each pixel four times, then a convolution with a window of 3 (Odena and others, 2016). No checkerboard, at four times the
    /// multiplications.
    Resize,
}

/// What is taken out of the finished generator's pictures, where real ones that were shrunk have almost nothing: patterns from one pixel to the
/// next, which a discriminator whose first stride is 2 does not teach the generator to leave out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Smoothing {
    /// Nothing.
    None,
    /// What alternates along height and width at once: a checkerboard.
    #[default]
    Diagonal,
    /// What alternates along height or width: checkerboards, stripes and grids, and with them the finest real detail.
    Axes,
}

/// What noise is drawn from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Noise {
    /// N(0, 1), as the authors' code trains.
    #[default]
    Normal,
    /// U(−1, 1), as the paper and the study say.
    Uniform,
}

impl Noise {
    /// Of each number.
    #[must_use]
    pub fn variance(self) -> f64 {
        match self {
            Self::Normal => 1.0,
            Self::Uniform => 1.0 / 3.0,
        }
    }
}

/// Settings of `lsgan`.
///
/// The default is the small form for a CPU, with our departures; [`LsganConfig::preset`] has the authors' and the study's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LsganConfig {
    /// Width and height of pictures, a power of two. Source: 64 (authors' code).
    #[schemars(range(min = 16, max = 256))]
    pub px: usize,
    /// Whether pictures that are not square are cut to their middle, rather than squashed. Source: no (authors' code), yes (study).
    pub cropped: bool,
    /// Length of the noise. Source: 256 (authors' code), 100 (paper, study).
    #[schemars(range(min = 1, max = 4096))]
    pub noise: usize,
    /// What noise is drawn from. Source: normal (authors' code), uniform (paper, study).
    pub noise_from: Noise,
    /// Channels of the generator's first maps; those of the last two doublings are a half and a quarter. Source: 256 (authors' code).
    #[schemars(range(min = 4, max = 1024))]
    pub generator_channels: usize,
    /// Whether a transposed convolution of stride 1 follows each of the first two doublings. Source: yes (authors' code).
    pub refine: bool,
    /// How the generator doubles height and width. Source: deconvolution (authors' code); ours: even-deconvolution.
    pub upsampling: Upsampling,
    /// Doublings, the last ones, that add detail to the picture of a smaller network: its picture, twice as large, and what the doubling makes of
    /// its maps. The discriminator sees the picture in each of these sizes (Karras and others, 2018, 2020). A training may so begin with a smaller
    /// generator that is trained already. Source: 0 (authors' code); ours: 1 in grown-64.
    #[schemars(range(min = 0, max = 4))]
    pub grown: usize,
    /// What is taken out of the finished generator's pictures: nothing, what alternates from one pixel to the next along height and width at once
    /// (diagonal), or along one of them (axes). In training pictures are as they come; taken out there, too, it left worse ones. None is for
    /// pictures that were never shrunk. Source: none (authors' code); ours: diagonal, and axes in small-64,
    /// tiny-64 and grown-64.
    pub smoothing: Smoothing,
    /// Channels of the discriminator's first maps, doubled by each further layer, eightfold at most. Source: 64 (authors' code).
    #[schemars(range(min = 4, max = 256))]
    pub discriminator_channels: usize,
    /// Units of a layer before the discriminator's last one; 0 for none. Source: 0 (authors' code), 1024 (study).
    #[schemars(range(min = 0, max = 8192))]
    pub discriminator_units: usize,
    /// Pictures of a step. Source: 16 (authors' code), 64 (study).
    #[schemars(range(min = 2, max = 4096))]
    pub batch: usize,
    /// Epochs; one draws as many pictures as there are. Source: 30 (authors' code), 55 (study).
    #[schemars(range(min = 1, max = 100_000))]
    pub epochs: usize,
    /// Adam's step. Source: 1e-4 (authors' code), 1e-5 (study), 2e-4 (upstream's comparisons at 64 pixels).
    #[schemars(range(min = 1e-7, max = 0.1))]
    pub learning_rate: f64,
    /// Adam's decay of the first moment. Source: 0.5 (authors' code), 0.9 (study).
    #[schemars(range(min = 0.0, max = 0.9999))]
    pub beta_1: f64,
    /// Adam's decay of the second moment. Source: 0.99 (authors' code), 0.999 (study).
    #[schemars(range(min = 0.0, max = 0.99999))]
    pub beta_2: f64,
    /// λ of ½ λ ‖W‖² of both networks' weights, not of biases and normalisations. Source: 0 (authors' code), 1e-5 (paper, study).
    #[schemars(range(min = 0.0, max = 1.0))]
    pub weight_decay: f64,
    /// Factor of the discriminator's loss. Source: 0.5 (authors' code), 1 (paper, study).
    #[schemars(range(min = 0.01, max = 10.0))]
    pub discriminator_weight: f64,
    /// Whether classes are drawn equally often; otherwise as often as they have pictures. Source: no (authors' code); ours: yes, so that
    /// a class of 156 pictures is learned beside one of 3,079, and no in grown-64, which begins with a generator that has learned it.
    pub balanced: bool,
    /// Factor of a third term of the discriminator's loss: pictures shown as another class, real and generated ones, all of which it is to reject
    /// (Reed and others, 2016, of real ones). They are normalised beside the same pictures under their own class. Source: 0 (authors' code).
    #[schemars(range(min = 0.0, max = 10.0))]
    pub mismatch: f64,
    /// Factor of a second term of the generator's loss: its pictures shown as another class, which the discriminator is to reject. Needs
    /// `mismatch`, by which that learns to. Source: 0 (authors' code).
    #[schemars(range(min = 0.0, max = 10.0))]
    pub contrast: f64,
    /// Share of the epochs, the last ones, over which the steps of both networks fall to nothing in a straight line. Source: 0 (authors' code).
    #[schemars(range(min = 0.0, max = 1.0))]
    pub cooling: f64,
    /// Decay by step of the averaged generator that is kept; 0 keeps the last one. Source: 0 (authors' code); ours: 0.9995, since
    /// single steps differ in tint and in class.
    #[schemars(range(min = 0.0, max = 0.99999))]
    pub averaging: f64,
}

impl Default for LsganConfig {
    fn default() -> Self {
        Self {
            px: 32,
            cropped: false,
            noise: 100,
            noise_from: Noise::Normal,
            generator_channels: 128,
            refine: false,
            upsampling: Upsampling::EvenDeconvolution,
            grown: 0,
            smoothing: Smoothing::Diagonal,
            discriminator_channels: 32,
            discriminator_units: 0,
            batch: 32,
            epochs: 40,
            learning_rate: 2e-4,
            beta_1: 0.5,
            beta_2: 0.99,
            weight_decay: 0.0,
            discriminator_weight: 0.5,
            balanced: true,
            mismatch: 0.0,
            contrast: 0.0,
            cooling: 0.0,
            averaging: 0.9995,
        }
    }
}

impl ModelConfig for LsganConfig {
    fn check(&self) -> Result<(), String> {
        if !self.px.is_power_of_two() {
            return Err(format!("`px` is {}; it must be a power of two, such as 32, 64 or 128", self.px));
        }
        if self.px >> self.grown < SMALLEST_PX {
            return Err(format!(
                "`grown` is {}: of {} pixels that leaves a network of {}, and {SMALLEST_PX} are the fewest",
                self.grown,
                self.px,
                self.px >> self.grown
            ));
        }
        if !self.generator_channels.is_multiple_of(4) {
            return Err(format!(
                "`generator_channels` is {}; it must be a multiple of 4",
                self.generator_channels
            ));
        }
        if self.contrast > 0.0 && self.mismatch == 0.0 {
            return Err("`contrast` needs `mismatch` over 0: without it the discriminator does not learn to reject another class".to_owned());
        }
        if self.refine && self.upsampling != Upsampling::Deconvolution {
            return Err("`refine` belongs to the published transposed convolutions: it needs `upsampling` = \"deconvolution\"".to_owned());
        }
        Ok(())
    }
}

/// Settings, beside the pixels, that shapes of layers depend on.
const SHAPING: [&str; 6] =
    ["noise", "generator_channels", "refine", "upsampling", "discriminator_channels", "discriminator_units"];

/// Fewest pixels of a network.
const SMALLEST_PX: usize = 16;

/// A named set of settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset {
    /// Name on the command line.
    pub name: &'static str,
    /// What it is.
    pub summary: &'static str,
}

/// The named sets of settings.
pub const PRESETS: [Preset; 7] = [
    Preset {
        name: "authors",
        summary: "the authors' released code: 64 pixels, 3.8 and 4.5 million parameters",
    },
    Preset {
        name: "study",
        summary: "the DVBPR study: noise U(-1, 1) of 100, 1,024 units in D, 1e-5, batch 64",
    },
    Preset { name: "small-32", summary: "32 pixels, half width, with our departures: minutes on a CPU" },
    Preset { name: "small-64", summary: "64 pixels, half width, with our departures: hours on a CPU" },
    Preset { name: "tiny-64", summary: "64 pixels, quarter width, with our departures" },
    Preset {
        name: "grown-64",
        summary: "64 pixels, on a generator of small-32 that is trained already: see --from",
    },
    Preset {
        name: "authors-128",
        summary: "128 pixels: the authors' layers and one more doubling (our choice)",
    },
];

impl LsganConfig {
    /// The settings of a name in [`PRESETS`].
    #[must_use]
    pub fn preset(name: &str) -> Option<Self> {
        let authors = Self {
            px: 64,
            cropped: false,
            noise: 256,
            noise_from: Noise::Normal,
            generator_channels: 256,
            refine: true,
            upsampling: Upsampling::Deconvolution,
            grown: 0,
            smoothing: Smoothing::None,
            discriminator_channels: 64,
            discriminator_units: 0,
            batch: 16,
            epochs: 30,
            learning_rate: 1e-4,
            beta_1: 0.5,
            beta_2: 0.99,
            weight_decay: 0.0,
            discriminator_weight: 0.5,
            balanced: false,
            mismatch: 0.0,
            contrast: 0.0,
            cooling: 0.0,
            averaging: 0.0,
        };
        let small = Self::default();
        Some(match name {
            "authors" => authors,
            "study" => Self {
                cropped: true,
                noise: 100,
                noise_from: Noise::Uniform,
                discriminator_units: 1024,
                batch: 64,
                epochs: 55,
                learning_rate: 1e-5,
                beta_1: 0.9,
                beta_2: 0.999,
                weight_decay: 1e-5,
                discriminator_weight: 1.0,
                ..authors
            },
            "small-32" => small,
            "small-64" => Self { px: 64, smoothing: Smoothing::Axes, ..small },
            "tiny-64" => Self {
                px: 64,
                generator_channels: 64,
                discriminator_channels: 16,
                smoothing: Smoothing::Axes,
                ..small
            },
            // The smaller generator saw rare classes as often as others already.
            "grown-64" => Self { px: 64, grown: 1, smoothing: Smoothing::Axes, balanced: false, ..small },
            "authors-128" => Self { px: 128, ..authors },
            _ => return None,
        })
    }

    /// The factor of Adam's step in an epoch, counted from 1.
    pub(super) fn warmth(&self, epoch: usize) -> f64 {
        let cooling = self.cooling * self.epochs as f64;
        // Half an epoch's fall is behind in its middle.
        let left = self.epochs as f64 + 0.5 - epoch as f64;
        if cooling > 0.0 { (left / cooling).min(1.0) } else { 1.0 }
    }

    /// How pictures are decoded for it.
    #[must_use]
    pub fn decoding(&self) -> BuildOptions {
        let fit = if self.cropped { Fit::Crop } else { Fit::Squash };
        BuildOptions { fit, ..BuildOptions::new(self.px) }
    }

    /// How often the generator doubles 4 × 4 pixels before those doublings that are grown.
    pub(super) fn doublings(&self) -> usize {
        (self.px / 4).ilog2() as usize - self.grown
    }

    /// What forbids to begin with a trained generator of these settings, if anything: shapes must be the same but for doublings that are grown
    /// on it.
    pub(super) fn grows_from(&self, start: &Self) -> Result<(), String> {
        if (start.px > self.px) || start.px << self.grown != self.px << start.grown {
            return Err(format!(
                "it makes pictures of {} pixels, {} of whose doublings are grown; to go on with it at {} needs `grown` = {}, which is {}",
                start.px,
                start.grown,
                self.px,
                start.grown + (self.px / start.px).max(1).ilog2() as usize,
                self.grown
            ));
        }
        let of = |config: &Self| {
            let mut map = foldin_core::config::to_map(config);
            map.retain(|name, _| SHAPING.contains(&name.as_str()));
            map
        };
        let (own, other) = (of(self), of(start));
        match own.iter().find(|(name, value)| other.get(*name) != Some(value)) {
            Some((name, value)) => Err(format!(
                "its `{name}` is {}, and here it is {value}",
                other.get(name).unwrap_or(&serde_json::Value::Null)
            )),
            None => Ok(()),
        }
    }

    /// Channels after each doubling before those that are grown.
    pub(super) fn widths(&self) -> Vec<usize> {
        let n = self.doublings();
        (0..n).map(|at| self.generator_channels >> (at + 3).saturating_sub(n).min(2)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_sound_and_unknown_names_are_none() {
        for preset in PRESETS {
            let config = LsganConfig::preset(preset.name).unwrap_or_else(|| panic!("{}", preset.name));
            config.check().unwrap_or_else(|problem| panic!("{}: {problem}", preset.name));
        }
        assert!(LsganConfig::preset("huge").is_none());
        let fit = |preset: &str| LsganConfig::preset(preset).unwrap().decoding().fit;
        assert_eq!(["authors", "study"].map(fit), [Fit::Squash, Fit::Crop]);
    }

    #[test]
    fn steps_fall_at_the_end() {
        let config = LsganConfig { epochs: 10, cooling: 0.5, ..LsganConfig::default() };
        let warmth: Vec<f64> = [1, 5, 6, 8, 10].map(|epoch| config.warmth(epoch)).to_vec();
        assert!(
            warmth.iter().zip([1.0, 1.0, 0.9, 0.5, 0.1]).all(|(x, y)| (x - y).abs() < 1e-12),
            "{warmth:?}"
        );
        assert!((LsganConfig::default().warmth(14) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn widths_are_the_published_ones() {
        let widths =
            |px: usize| LsganConfig { px, generator_channels: 256, ..LsganConfig::default() }.widths();
        assert_eq!(widths(64), [256, 256, 128, 64]);
        assert_eq!(widths(32), [256, 128, 64]);
        assert_eq!(widths(128), [256, 256, 256, 128, 64]);
    }

    #[test]
    fn a_smaller_network_is_grown_upon() {
        let small = LsganConfig::preset("small-32").unwrap();
        let grown = LsganConfig::preset("grown-64").unwrap();
        assert_eq!(grown.widths(), small.widths());
        assert_eq!(grown.grows_from(&small), Ok(()));
        assert_eq!(small.grows_from(&small), Ok(()));
        let twice = LsganConfig { px: 128, grown: 2, ..grown.clone() };
        assert_eq!((twice.grows_from(&grown), twice.grows_from(&small)), (Ok(()), Ok(())));
        let problem = |config: &LsganConfig, start| config.grows_from(start).unwrap_err();
        assert!(problem(&LsganConfig { px: 128, ..grown.clone() }, &grown).contains("`grown` = 2"));
        assert!(problem(&LsganConfig::preset("small-64").unwrap(), &small).contains("`grown` = 1"));
        assert!(problem(&small, &grown).contains("64 pixels"));
        assert!(problem(&LsganConfig { noise: 50, ..grown.clone() }, &small).contains("`noise` is 100"));
        assert!(LsganConfig { grown: 3, ..grown }.check().unwrap_err().contains("leaves a network of 8"));
    }

    #[test]
    fn settings_that_exclude_each_other_are_refused() {
        assert!(LsganConfig { px: 48, ..LsganConfig::default() }.check().is_err());
        let resize = LsganConfig { refine: true, upsampling: Upsampling::Resize, ..LsganConfig::default() };
        assert!(resize.check().unwrap_err().contains("refine"));
        let alone = LsganConfig { contrast: 1.0, ..LsganConfig::default() };
        assert!(alone.check().unwrap_err().contains("`mismatch`"));
        assert_eq!(LsganConfig { mismatch: 1.0, ..alone }.check(), Ok(()));
    }
}
