//! Do settings and a saved model come back as they were?

use std::collections::BTreeMap;

use foldin_core::registry::Settings;
use foldin_core::search::Space;
use foldin_core::{ConfigError, FitContext, ModelParts, Tensor, UserView};
use serde_json::Value;

use super::{Case, Outcome, SEED, ensure, everything, predict_all, same_bits};
use crate::planted;

pub(super) fn settings_are_documented(case: &Case<'_>) -> Outcome {
    let entry = case.subject.entry;
    let resolved =
        entry.resolve(&Settings::new()).map_err(|error| format!("the defaults are refused: {error}"))?;
    let resolved = resolved.as_object().ok_or("the configuration is not a table")?;
    let keys = entry.keys();
    for name in resolved.keys() {
        ensure(keys.iter().any(|key| &key.key == name), || format!("`{name}` is not described"))?;
    }
    for key in keys {
        let name = &key.key;
        ensure(
            name.chars().all(|sign| sign.is_ascii_lowercase() || sign.is_ascii_digit() || sign == '_'),
            || format!("`{name}` is not in snake case"),
        )?;
        ensure(key.meaning.len() >= 12, || format!("`{name}` is not explained: {:?}", key.meaning))?;
        ensure(resolved.get(name) == Some(&key.default), || {
            format!("the default of `{name}` is not what is used")
        })?;
        if !key.search.is_empty() {
            searched(case, name, &key.search)?;
        }
    }
    Ok(())
}

/// A space of a setting must be readable, and every value of it usable.
fn searched(case: &Case<'_>, name: &str, space: &str) -> Outcome {
    let space: Space = space.parse().map_err(|reason| format!("the space of `{name}`: {reason}"))?;
    for place in 0..=8 {
        let value = space.at(f64::from(place) / 8.0);
        let settings = Settings::from_iter([(name.to_owned(), value.clone())]);
        let resolved = case.subject.entry.resolve(&settings);
        ensure(resolved.is_ok(), || {
            format!("a search of `{name}` in {space} would try {value}, which is refused: {resolved:?}")
        })?;
    }
    Ok(())
}

pub(super) fn bad_settings(case: &Case<'_>) -> Outcome {
    let entry = case.subject.entry;
    let with = |key: &str, value: Value| {
        let mut settings = Settings::new();
        settings.insert(key.to_owned(), value);
        entry.resolve(&settings)
    };
    match with("no_such_setting", 1.into()) {
        Err(ConfigError::UnknownKey { .. }) => {}
        other => return Err(format!("an unknown key gave {other:?}")),
    }
    for key in entry.keys() {
        // No setting is a table of tables, so this fits none of them.
        let nonsense = serde_json::json!({ "nonsense": { "deep": [] } });
        ensure(with(&key.key, nonsense).is_err(), || format!("`{}` accepts a table", key.key))?;
        for value in beyond(&key.range) {
            ensure(with(&key.key, value.clone()).is_err(), || {
                format!("`{}` must be {}, but accepts {value}", key.key, key.range)
            })?;
        }
    }
    Ok(())
}

/// Values just outside a range such as `≥ 1 and ≤ 1024`.
fn beyond(range: &str) -> Vec<Value> {
    range
        .split(" and ")
        .filter_map(|bound| {
            let (sign, number) = bound.split_once(' ')?;
            let number: f64 = number.parse().ok()?;
            let value = match sign {
                "≥" => number - 1.0,
                "≤" => number + 1.0,
                _ => number,
            };
            // A whole number is written as one, or an integer setting would refuse it for its type alone.
            Some(if value.fract() == 0.0 { Value::from(value as i64) } else { Value::from(value) })
        })
        .collect()
}

pub(super) fn settings_come_back(case: &Case<'_>) -> Outcome {
    let entry = case.subject.entry;
    let all = entry.resolve(&case.subject.quick).map_err(|error| error.to_string())?;
    let text = all.to_string();
    let Ok(Value::Object(read)) = serde_json::from_str::<Value>(&text) else {
        return Err("the configuration is not a table".to_owned());
    };
    let again = entry.resolve(&read).map_err(|error| format!("its own configuration is refused: {error}"))?;
    ensure(again == all, || format!("{all} came back as {again}"))?;
    let model = entry
        .fit(&read, &case.side.training_data(), &FitContext::new(SEED))
        .map_err(|error| format!("the fit failed: {error}"))?;
    let users = case.users();
    same_bits(
        "fitted with the configuration written out",
        &everything(case.quick()?, &users)?,
        &everything(model.as_ref(), &users)?,
    )
}

/// Users without [`UserView::trained_as`]: a loaded model knows nobody.
fn strangers<'a>(case: &'a Case<'_>) -> Vec<UserView<'a>> {
    case.users().into_iter().map(|user| UserView { trained_as: None, ..user }).collect()
}

pub(super) fn saved_model(case: &Case<'_>) -> Outcome {
    let model = case.quick()?;
    let parts = model.to_parts();
    for (name, tensor) in &parts.tensors {
        ensure(tensor.data.iter().all(|value| value.is_finite()), || {
            format!("tensor `{name}` is not finite")
        })?;
    }
    // Through text, as a model folder does.
    let meta = serde_json::from_str(&Value::Object(parts.meta.clone()).to_string())
        .map_err(|error| error.to_string())?;
    let through = ModelParts { tensors: parts.tensors.clone(), meta };
    let loaded = case.subject.entry.load(through).map_err(|error| format!("loading failed: {error}"))?;
    ensure(loaded.to_parts() == parts, || "saved again, it has other parts".to_owned())?;
    ensure(loaded.n_items() == model.n_items() && loaded.name() == model.name(), || {
        "name or number of items changed".to_owned()
    })?;
    ensure(loaded.notes() == model.notes(), || {
        format!("notes changed from {:?} to {:?}", model.notes(), loaded.notes())
    })?;
    if !case.new_users_are_served() {
        return Ok(());
    }
    let users = strangers(case);
    let before = everything(model, &users)?;
    same_bits("after loading", &before, &everything(loaded.as_ref(), &users)?)?;
    // A number from another training run must mean nothing to a model that was loaded.
    let named = case.users();
    same_bits(
        "loaded, with and without the number of training",
        &before,
        &everything(loaded.as_ref(), &named)?,
    )
}

pub(super) fn broken_model(case: &Case<'_>) -> Outcome {
    let parts = case.quick()?.to_parts();
    let load = |parts: ModelParts| case.subject.entry.load(parts);
    for (name, tensor) in &parts.tensors {
        let mut lacking = parts.clone();
        lacking.tensors.remove(name);
        ensure(load(lacking).is_err(), || format!("loaded without tensor `{name}`"))?;
        let mut flat = parts.clone();
        let data = [tensor.data.as_slice(), &[0.0]].concat();
        flat.tensors.insert(name.clone(), Tensor::new([data.len(), 1, 1], data));
        ensure(load(flat).is_err(), || format!("loaded with another shape of tensor `{name}`"))?;
    }
    for key in parts.meta.keys() {
        // What is optional may be missing or odd; it must not bring anything down.
        let mut lacking = parts.clone();
        lacking.meta.remove(key);
        drop(load(lacking));
        for value in [Value::Null, "nonsense".into(), (-1).into(), serde_json::json!([[]])] {
            let mut odd = parts.clone();
            odd.meta.insert(key.clone(), value);
            drop(load(odd));
        }
    }
    Ok(())
}

/// The shapes of a model's tensors, and how long its description is.
fn sizes(parts: &ModelParts) -> (BTreeMap<String, Vec<usize>>, usize) {
    let shapes = parts.tensors.iter().map(|(name, tensor)| (name.clone(), tensor.shape.clone())).collect();
    (shapes, Value::Object(parts.meta.clone()).to_string().len())
}

pub(super) fn nothing_per_user(case: &Case<'_>) -> Outcome {
    let declared = case.subject.entry.capabilities.keeps_histories;
    match (nothing_grows_with_users(case), declared) {
        (Ok(()), true) => {
            Err("it declares that it keeps histories, but twice the users left it as it was".to_owned())
        }
        (Err(_), true) => Ok(()),
        (outcome, false) => outcome,
    }
}

fn nothing_grows_with_users(case: &Case<'_>) -> Outcome {
    // The same items, and twice the users.
    let twice = case.subject.data(planted::with_side_information(180, 36, 3, SEED));
    let (small_shapes, small_text) = sizes(&case.quick()?.to_parts());
    let large = case.fit(&twice.training_data(), SEED)?;
    let (large_shapes, large_text) = sizes(&large.to_parts());
    ensure(small_shapes == large_shapes, || {
        format!("twice the users changed the tensors from {small_shapes:?} to {large_shapes:?}")
    })?;
    // Numbers are longer or shorter by a few digits; a list of 90 more users could not hide in this.
    ensure(large_text <= small_text + 120, || {
        format!("twice the users changed the description from {small_text} to {large_text} bytes")
    })?;
    // And it answers for anybody without looking anyone up.
    if case.new_users_are_served() {
        predict_all(large.as_ref(), &strangers(case))?;
    }
    Ok(())
}
