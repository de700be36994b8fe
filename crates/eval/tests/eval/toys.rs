//! The smallest models that show each side of an evaluation, and a data set small enough to compute by hand.

use foldin_core::model::{Generator, ItemFactors};
use foldin_core::{
    Capabilities, Csr, Dataset, Dictionary, Epoch, Factors, Feedback, FitContext, FitError, Interactions,
    ItemId, LoadError, ModelConfig, ModelFamily, ModelParts, RatingScale, Recommender, ScoreError, Tensor,
    TrainingData, UserView,
};
use foldin_eval::ModelRequest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A data set without side information on a scale of 1 to 5.
pub fn dataset(n_users: usize, n_items: usize, triples: &[(u32, u32, f32)]) -> Dataset {
    let csr = Csr::from_triples(n_users, n_items, triples).unwrap();
    let scale = RatingScale { min: 1.0, max: 5.0, step: Some(1.0) };
    let interactions = Interactions::new(csr, None, Feedback::Explicit(scale)).unwrap();
    let keys =
        |prefix: &str, n: usize| Dictionary::from_keys((0..n).map(|at| format!("{prefix}{at}"))).unwrap();
    Dataset::new("toy", interactions, keys("u", n_users), keys("i", n_items)).unwrap()
}

/// `n_users` users with 10 ratings each, of 20 items.
pub fn generated(n_users: u32) -> Dataset {
    let triples: Vec<_> = (0..n_users)
        .flat_map(|user| {
            (0..10).map(move |turn| {
                let item = (user * 3 + turn * 2) % 20;
                (user, item, 1.0 + ((user * 7 + item * 5 + user * item) % 5) as f32)
            })
        })
        .collect();
    dataset(n_users as usize, 20, &triples)
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToyConfig {
    /// Added to every prediction.
    #[schemars(range(min = -10.0, max = 10.0))]
    pub shift: f32,
    /// Predictive variance, of the model that has one.
    pub variance: f32,
    /// Predict NaN.
    pub broken: bool,
}

impl Default for ToyConfig {
    fn default() -> Self {
        Self { shift: 0.0, variance: 1.0, broken: false }
    }
}

impl ModelConfig for ToyConfig {}

const CAPABILITIES: Capabilities = Capabilities {
    new_users: true,
    generator: false,
    uncertainty: false,
    user_features: false,
    item_features: false,
    explicit: true,
    implicit: false,
    keeps_histories: false,
};

/// What all toys share: the mean of each item (of everything, where an item has no ratings).
#[derive(Debug)]
pub struct Means {
    name: &'static str,
    capabilities: Capabilities,
    config: ToyConfig,
    pub by_item: Vec<f32>,
    of_all: f32,
    /// Mean of each training user; never saved.
    by_user: Vec<f32>,
    items: ItemFactors,
}

impl Means {
    fn fit(
        name: &'static str,
        capabilities: Capabilities,
        config: &ToyConfig,
        data: &TrainingData<'_>,
        ctx: &FitContext<'_>,
    ) -> Result<Self, FitError> {
        ctx.progress.stage("means");
        let mean = |values: &[f32]| -> Option<f32> {
            let sum: f64 = values.iter().map(|&value| f64::from(value)).sum();
            (!values.is_empty()).then(|| (sum / values.len() as f64) as f32)
        };
        let of_all = data.interactions.mean() as f32;
        let rows = |csr: &Csr| -> Vec<f32> {
            (0..csr.n_rows()).map(|row| mean(csr.row(row).1).unwrap_or(of_all)).collect()
        };
        for number in 1..=2 {
            let train_rmse = Some(1.0 / number as f64);
            ctx.epoch_done(Epoch { number, of: 2, train_rmse, ..Epoch::default() }, Default::default)?;
        }
        let n_items = data.interactions.n_items();
        Ok(Self {
            name,
            capabilities,
            config: config.clone(),
            by_item: rows(data.interactions.by_item()),
            of_all,
            by_user: rows(data.interactions.by_user()),
            items: ItemFactors { k: 1, m: vec![0.0; n_items], bias: vec![0.0; n_items], mean: of_all },
        })
    }

    fn one(&self, user: &UserView<'_>, item: usize) -> Result<f32, ScoreError> {
        let value = match self.name {
            "toy-item-mean" | "toy-sure" => self.by_item[item],
            "toy-history" if user.items.is_empty() => self.of_all,
            "toy-history" => user.values.iter().sum::<f32>() / user.values.len() as f32,
            _ => {
                let number = user.trained_as.ok_or(ScoreError::NewUser { model: self.name })?;
                self.by_user[number.index()]
            }
        };
        Ok(if self.config.broken { f32::NAN } else { value + self.config.shift })
    }
}

impl Recommender for Means {
    fn name(&self) -> &'static str {
        self.name
    }

    fn n_items(&self) -> usize {
        self.by_item.len()
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn score(&self, users: &[UserView<'_>], out: &mut [f32]) -> Result<(), ScoreError> {
        for (user, out) in users.iter().zip(out.chunks_mut(self.n_items())) {
            for (item, out) in out.iter_mut().enumerate() {
                *out = self.one(user, item)?;
            }
        }
        Ok(())
    }

    fn predict(
        &self,
        users: &[UserView<'_>],
        pairs: &[(u32, ItemId)],
        out: &mut [f32],
    ) -> Result<(), ScoreError> {
        for (&(user, item), out) in pairs.iter().zip(out) {
            *out = self.one(&users[user as usize], item.index())?.clamp(1.0, 5.0);
        }
        Ok(())
    }

    fn predict_with_variance(
        &self,
        users: &[UserView<'_>],
        pairs: &[(u32, ItemId)],
        mean: &mut [f32],
        variance: &mut [f32],
    ) -> Result<(), ScoreError> {
        self.predict(users, pairs, mean)?;
        variance.fill(self.config.variance);
        Ok(())
    }

    fn as_generator(&self) -> Option<&dyn Generator> {
        self.capabilities.generator.then_some(self)
    }

    fn notes(&self) -> Vec<String> {
        vec![format!("{} learned nothing but means.", self.name)]
    }

    fn to_parts(&self) -> ModelParts {
        let mut parts = ModelParts::default();
        parts.tensors.insert("by_item".into(), Tensor::new([self.by_item.len()], self.by_item.clone()));
        parts.set("mean", self.of_all);
        parts
    }
}

impl Generator for Means {
    fn generate(&self, users: &[UserView<'_>]) -> Result<Factors, ScoreError> {
        let bias = users
            .iter()
            .map(|user| Ok(self.one(user, 0)? - self.of_all))
            .collect::<Result<Vec<f32>, ScoreError>>()?;
        Ok(Factors { k: 1, u: vec![0.0; users.len()], bias, covariance: None })
    }

    fn items(&self) -> &ItemFactors {
        &self.items
    }
}

macro_rules! toy {
    ($(#[$doc:meta])* $family:ident, $name:literal, $capabilities:expr) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $family;

        impl ModelFamily for $family {
            const NAME: &'static str = $name;
            const SUMMARY: &'static str = "A toy.";
            type Config = ToyConfig;
            type Model = Means;

            fn capabilities() -> Capabilities {
                $capabilities
            }

            fn fit(config: &ToyConfig, data: &TrainingData<'_>, ctx: &FitContext<'_>) -> Result<Means, FitError> {
                Means::fit($name, $capabilities, config, data, ctx)
            }

            fn load(_: ModelParts) -> Result<Means, LoadError> {
                Err(LoadError::Meta { key: "a toy is never loaded".into() })
            }
        }
    };
}

toy!(
    /// The mean of the item.
    ItemMean, "toy-item-mean", CAPABILITIES
);
toy!(
    /// The mean of the item, with a variance.
    Sure, "toy-sure", Capabilities { uncertainty: true, ..CAPABILITIES }
);
toy!(
    /// The mean of the history that comes with the call.
    History, "toy-history", Capabilities { generator: true, ..CAPABILITIES }
);
toy!(
    /// The mean of the user's ratings in training; knows nobody else.
    ByHeart, "toy-by-heart", Capabilities { new_users: false, ..CAPABILITIES }
);

/// A toy with its default settings.
pub fn request<F: ModelFamily>() -> ModelRequest {
    ModelRequest::new(foldin_core::ModelEntry::of::<F>())
}
