//! Designs in the background, by a stand-in for what makes pictures.

use std::sync::Arc;
use std::time::Duration;

use foldin_core::CancelFlag;
use foldin_engine::store::MemoryStore;
use foldin_server::ServerConfig;
use foldin_server::design::{Brief, Design, DesignError, Designer, Draft, NewItem, Picture, Workshop};
use serde_json::{Value, json};

use super::feed::{next, watch};
use super::running::{Running, code, get, post, send, start, start_designing};

/// Moves a number up by one each step; the category `slow` takes its time, and `broken` fails.
#[derive(Debug)]
struct Counter;

fn drafts(step: usize) -> Vec<Draft> {
    vec![Draft { picture: Picture(Arc::from(&[137, 80, 78, 71][..])), preference: step as f64, realism: 1.0 }]
}

impl Designer for Counter {
    fn workshop(&self) -> Workshop {
        Workshop { categories: ["tops", "slow", "broken", "panic"].map(str::to_owned).to_vec(), pixels: 32 }
    }

    fn knows(&self, item: &str) -> bool {
        item.starts_with("item ")
    }

    fn check(&self, brief: &Brief) -> Result<(), DesignError> {
        if self.workshop().categories.contains(&brief.category) {
            return Ok(());
        }
        Err(DesignError::Unknown { field: "category", message: format!("no category `{}`", brief.category) })
    }

    fn design(
        &self,
        brief: &Brief,
        bought: &[String],
        cancel: &CancelFlag,
        tell: &mut (dyn FnMut(usize, Vec<Draft>) + Send),
    ) -> Result<Design, DesignError> {
        assert_ne!(brief.category, "panic", "on purpose");
        for step in 0..=brief.steps {
            if cancel.is_cancelled() {
                return Err(DesignError::Cancelled);
            }
            if brief.category == "slow" {
                std::thread::sleep(Duration::from_millis(20));
            }
            tell(step, drafts(step));
        }
        if brief.category == "broken" {
            return Err(DesignError::Failed("it broke".to_owned()));
        }
        let made = NewItem {
            pictures: drafts(0).into_iter().map(|draft| draft.picture).collect(),
            preference: (0..=brief.steps).map(|step| step as f64).collect(),
            realism: vec![1.0; brief.steps + 1],
            percentile: 0.5,
            nearest: Vec::new(),
        };
        let designs = vec![made];
        Ok(Design { used: bought.len(), shown_steps: vec![0], designs, best: Vec::new(), tailored: None })
    }
}

fn designing() -> Running {
    start_designing(Box::new(MemoryStore::new()), ServerConfig::default(), Arc::new(Counter))
}

/// Waits for the end of a design.
fn ended(server: &Running, id: u64) -> Value {
    let mut events = watch(server, &format!("/v1/design/{id}/events"));
    let mut last = Value::Null;
    while let Some(run) = next(&mut events) {
        last = run;
        if last["state"] != "running" {
            break;
        }
    }
    last
}

#[test]
fn a_design_is_watched_from_its_start_to_its_end() {
    let server = designing();
    assert_eq!(get(&server, "/v1/stats").1["designs"]["pixels"], 32);
    for item in ["item 1", "item 2", "item 1", "elsewhere"] {
        post(&server, "/v1/events", &json!({"user": "ada", "item": item, "value": 5}));
    }
    let (status, run) = post(&server, "/v1/design", &json!({"user": "ada", "category": "slow", "steps": 10}));
    assert_eq!((status, run["id"].as_u64(), run["person"].as_str()), (202, Some(1), Some("ada")), "{run}");
    let (status, refused) = post(&server, "/v1/design", &json!({"user": "ada", "category": "tops"}));
    assert_eq!((status, code(&refused)), (409, "conflict"), "one at a time");
    let run = ended(&server, 1);
    assert_eq!((run["state"].as_str(), run["step"].as_u64()), (Some("done"), Some(10)), "{run}");
    assert_eq!(run["design"]["used"], 2, "what the recommender knows, each once: {run}");
    assert_eq!(run["shown"][0]["picture"], "data:image/png;base64,iVBORw==");
    assert_eq!(get(&server, "/v1/design/1").1, run);
    // Another one, for somebody who is in no store.
    let wish = json!({"bought": ["item 7"], "category": "tops", "steps": 1});
    assert_eq!(post(&server, "/v1/design", &wish).1["person"], "somebody");
    assert_eq!(ended(&server, 2)["state"], "done");
}

#[test]
fn a_design_can_be_cancelled_and_may_fail() {
    let server = designing();
    let wish = |category: &str| json!({"bought": ["item 7"], "category": category, "steps": 500});
    assert_eq!(post(&server, "/v1/design", &wish("slow")).0, 202);
    assert_eq!(send(&server, "DELETE", "/v1/design/1", None, "").0, 202);
    assert_eq!(ended(&server, 1)["state"], "cancelled");
    assert_eq!(send(&server, "DELETE", "/v1/design/1", None, "").0, 409);
    for (id, category, message) in [(2, "broken", "it broke"), (3, "panic", "broke off")] {
        assert_eq!(post(&server, "/v1/design", &wish(category)).0, 202);
        let run = ended(&server, id);
        assert_eq!(run["state"], "failed", "{run}");
        assert!(run["error"].as_str().unwrap().contains(message), "{run}");
    }
    // One under way does not hold up the end.
    assert_eq!(post(&server, "/v1/design", &wish("slow")).0, 202);
}

#[test]
fn what_cannot_be_designed_is_refused() {
    let server = designing();
    post(&server, "/v1/events", &json!({"user": "eve", "item": "elsewhere", "value": 5}));
    for (wish, status, field) in [
        (json!({"category": "tops"}), 400, "user"),
        (json!({"user": "eve", "bought": ["item 1"], "category": "tops"}), 400, "bought"),
        (json!({"user": "eve", "category": "tops"}), 409, "user"),
        (json!({"user": "nobody", "category": "tops"}), 404, "user"),
        (json!({"bought": ["elsewhere"], "category": "tops"}), 404, "bought"),
        (json!({"bought": ["item 1"], "category": "hats"}), 404, "category"),
        (json!({"bought": ["item 1"], "category": "tops", "starts": 65}), 400, "starts"),
        (json!({"bought": ["item 1"], "category": "tops", "steps": 0}), 400, "steps"),
        (json!({"bought": ["item 1"], "category": "tops", "starts": 2, "keep": 3}), 400, "keep"),
        (json!({"bought": ["item 1"], "category": "tops", "realism": -1}), 400, "realism"),
        (json!({"bought": ["item 1"], "category": "tops", "colour": "red"}), 400, "colour"),
    ] {
        let (got, refused) = post(&server, "/v1/design", &wish);
        assert_eq!((got, refused["error"]["field"].as_str()), (status, Some(field)), "{wish}: {refused}");
    }
    assert_eq!(get(&server, "/v1/design/1").0, 404, "nothing began");
    // A server without a generator says so.
    let plain = start();
    assert_eq!(get(&plain, "/v1/stats").1["designs"], Value::Null);
    let (status, refused) = post(&plain, "/v1/design", &json!({"bought": ["item 1"], "category": "tops"}));
    assert_eq!((status, code(&refused)), (422, "unsupported"));
}
