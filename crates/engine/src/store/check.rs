//! What a store refuses to keep. Every store checks the same, before it writes anything.

use super::error::{Invalid, InvalidReason, StoreError};
use super::types::{Event, ItemRecord, JsonMap};

/// Most bytes of a key or name, in UTF-8.
pub const MAX_KEY_BYTES: usize = 512;
/// Most bytes of a title or of one category.
pub const MAX_TITLE_BYTES: usize = 4096;
/// Most bytes of the features of a user, or of a whole item record, as JSON.
pub const MAX_JSON_BYTES: usize = 1 << 18;
/// Most bytes of a setting.
pub const MAX_SETTING_BYTES: usize = 1 << 20;
/// Most different kinds of events in one store over its life.
pub const MAX_KINDS: usize = 256;

/// Checks every event of a batch.
///
/// # Errors
/// The first field that cannot be kept, with the number of its event in the batch.
pub fn events(events: &[Event]) -> Result<(), StoreError> {
    for (index, event) in events.iter().enumerate() {
        let index = Some(index);
        key("user", index, &event.user)?;
        key("item", index, &event.item)?;
        key("kind", index, &event.kind)?;
        if event.value.is_some_and(|value| !value.is_finite()) {
            return Err(invalid("value", index, InvalidReason::NotFinite));
        }
    }
    Ok(())
}

/// Checks a key or name: 1 to [`MAX_KEY_BYTES`] bytes, no control characters.
///
/// # Errors
/// What is wrong with it.
pub fn key(field: &'static str, index: Option<usize>, key: &str) -> Result<(), StoreError> {
    if key.is_empty() {
        return Err(invalid(field, index, InvalidReason::Empty));
    }
    text(field, index, key, MAX_KEY_BYTES)
}

/// Checks item records, and gives the JSON that is kept of each.
///
/// # Errors
/// The first field that cannot be kept, with the number of its record in the batch.
pub fn items(records: &[ItemRecord]) -> Result<Vec<Vec<u8>>, StoreError> {
    let json = |(index, record): (usize, &ItemRecord)| {
        let index = Some(index);
        key("key", index, &record.key)?;
        if let Some(title) = &record.title {
            text("title", index, title, MAX_TITLE_BYTES)?;
        }
        for category in &record.categories {
            key("categories", index, category)?;
        }
        let bytes = serde_json::to_vec(record).unwrap_or_default();
        longest("attributes", index, bytes.len(), MAX_JSON_BYTES)?;
        Ok(bytes)
    };
    records.iter().enumerate().map(json).collect()
}

/// Checks the features of a user, and gives the JSON that is kept of them.
///
/// # Errors
/// If they are too long.
pub fn features(features: &JsonMap) -> Result<Vec<u8>, StoreError> {
    // A map of JSON values always has a JSON form.
    let bytes = serde_json::to_vec(features).unwrap_or_default();
    longest("features", None, bytes.len(), MAX_JSON_BYTES)?;
    Ok(bytes)
}

/// Checks a setting: its name is a key, its value has at most [`MAX_SETTING_BYTES`].
///
/// # Errors
/// What is wrong with it.
pub fn setting(name: &str, value: &[u8]) -> Result<(), StoreError> {
    key("name", None, name)?;
    longest("value", None, value.len(), MAX_SETTING_BYTES)
}

fn text(field: &'static str, index: Option<usize>, text: &str, most: usize) -> Result<(), StoreError> {
    longest(field, index, text.len(), most)?;
    match text.char_indices().find(|(_, character)| character.is_control()) {
        None => Ok(()),
        Some((at, character)) => Err(invalid(field, index, InvalidReason::Control { character, at })),
    }
}

fn longest(field: &'static str, index: Option<usize>, bytes: usize, most: usize) -> Result<(), StoreError> {
    if bytes > most { Err(invalid(field, index, InvalidReason::TooLong { bytes, most })) } else { Ok(()) }
}

pub(crate) fn invalid(field: &'static str, index: Option<usize>, reason: InvalidReason) -> StoreError {
    Invalid { field, index, reason }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(user: &str) -> Event {
        Event::new(user, "item", "rating", 0)
    }

    #[test]
    fn the_field_and_its_place_are_named() {
        let batch = [event("good"), event("line\nbreak")];
        let error = events(&batch).unwrap_err();
        assert_eq!(
            error.to_string(),
            "number 1 of the batch: user holds the control character U+000A at byte 4"
        );
        let nan = [event("u").with_value(f32::NAN)];
        assert_eq!(
            events(&nan).unwrap_err().to_string(),
            "number 0 of the batch: value is not a finite number"
        );
    }

    #[test]
    fn keys_have_1_to_512_bytes() {
        assert!(key("user", None, &"é".repeat(256)).is_ok());
        assert!(matches!(
            key("user", None, &"é".repeat(257)),
            Err(StoreError::Invalid(Invalid {
                reason: InvalidReason::TooLong { bytes: 514, most: 512 },
                ..
            }))
        ));
        assert_eq!(key("user", None, "").unwrap_err().to_string(), "user is empty");
        assert!(key("user", None, "a/b c?d=e%00 ünï 日本 🎬").is_ok());
    }

    #[test]
    fn records_and_settings_have_limits() {
        let record = ItemRecord { key: "i".into(), title: Some("t".repeat(4097)), ..ItemRecord::default() };
        assert!(items(&[record]).unwrap_err().to_string().contains("title has 4097 bytes"));
        let mut map = JsonMap::new();
        map.insert("bio".into(), "x".repeat(MAX_JSON_BYTES).into());
        assert!(features(&map).unwrap_err().to_string().contains("features has"));
        assert!(setting("name", &vec![0; MAX_SETTING_BYTES + 1]).is_err());
        assert!(setting("", b"").is_err());
    }
}
