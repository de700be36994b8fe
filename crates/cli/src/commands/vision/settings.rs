//! Settings of what looks at pictures, for `foldin models show`.

use foldin_core::config::{ConfigKey, describe};
use foldin_vision::design::DesignConfig;
use foldin_vision::lsgan::LsganConfig;
use foldin_vision::recommend::dvbpr::{DvbprConfig, PretrainConfig};
use foldin_vision::recommend::pairwise::PairwiseConfig;

/// A name that errors and `--set` know, what it is, and its settings with the defaults of the preset that commands start from.
pub(crate) struct Described {
    pub(crate) name: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) keys: fn() -> Vec<ConfigKey>,
}

/// All of them.
pub(crate) const DESCRIBED: [Described; 5] = [
    Described {
        name: "dvbpr",
        summary: "--set of `foldin vision train --model dvbpr`, as the preset `small` has them",
        keys: || describe(&DvbprConfig::small()),
    },
    Described {
        name: "pretraining",
        summary: "--pretraining of `foldin vision train --preset pretrained`",
        keys: || describe(&PretrainConfig::default()),
    },
    Described {
        name: "vbpr",
        summary: "--set of `foldin vision train --model vbpr`",
        keys: || describe(&PairwiseConfig::vbpr()),
    },
    Described {
        name: "lsgan",
        summary: "--set of `foldin vision train-lsgan`, as the preset `small-32` has them",
        keys: || describe(&LsganConfig::default()),
    },
    Described {
        name: "design",
        summary: "--set of `foldin vision design`",
        keys: || describe(&DesignConfig::default()),
    },
];

/// Those of a name.
pub(crate) fn find(name: &str) -> Option<&'static Described> {
    DESCRIBED.iter().find(|described| described.name == name)
}
