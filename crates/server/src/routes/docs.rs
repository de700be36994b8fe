//! The description of the API as a page, made from the same document as `/openapi.json`; it needs nothing from elsewhere.

use std::fmt::Write;
use std::sync::LazyLock;

use axum::response::Html;
use serde_json::Value;

use super::api;
use crate::error::CODES;

const METHODS: [&str; 4] = ["get", "post", "put", "delete"];

const STYLE: &str = "
:root { color-scheme: light dark; --line: light-dark(#d8dde6, #333a45); --dim: light-dark(#5b6575, #9aa5b5); --code: light-dark(#f2f4f8, #1d222a); --link: light-dark(#1f5fd0, #7fb0ff); }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1.5rem; }
h1 { font-size: 1.6rem; } h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); text-transform: capitalize; }
a { color: var(--link); }
code, pre { font: 13px/1.45 ui-monospace, monospace; background: var(--code); border-radius: 4px; padding: .1em .3em; }
pre { padding: .7em 1em; overflow-x: auto; }
details { border: 1px solid var(--line); border-radius: 6px; margin: .6rem 0; padding: .5rem .8rem; }
summary { cursor: pointer; } summary b { font: 600 13px ui-monospace, monospace; display: inline-block; width: 4.2em; }
summary span { color: var(--dim); }
table { border-collapse: collapse; width: 100%; margin: .5rem 0; } td, th { text-align: left; vertical-align: top; padding: .25rem .6rem .25rem 0; border-top: 1px solid var(--line); }
td:first-child { white-space: nowrap; } .dim { color: var(--dim); }
";

/// The page.
pub(super) async fn page() -> Html<&'static str> {
    static PAGE: LazyLock<String> =
        LazyLock::new(|| render(&serde_json::to_value(api()).unwrap_or_default()));
    Html(&PAGE)
}

fn render(api: &Value) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write!(
        out,
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\"><title>Foldin API</title><style>{STYLE}</style>\
         <h1>Foldin API {}</h1><p>{}</p>\
         <p>As OpenAPI: <a href=/openapi.json>/openapi.json</a>. Where the server has keys, send one with each request: <code>Authorization: Bearer KEY</code>.</p>",
        escape(text(&api["info"]["version"])),
        escape(text(&api["info"]["description"])),
    );
    for tag in api["tags"].as_array().into_iter().flatten() {
        let name = text(&tag["name"]);
        let _ =
            write!(out, "<h2 id={name}>{name}</h2><p class=dim>{}</p>", escape(text(&tag["description"])));
        for (path, operations) in api["paths"].as_object().into_iter().flatten() {
            for method in METHODS {
                let operation = &operations[method];
                if operation["tags"].as_array().is_some_and(|tags| tags.contains(&tag["name"])) {
                    one(&mut out, api, method, path, operation);
                }
            }
        }
    }
    out.push_str("<h2 id=errors>Refusals</h2><p>Every refusal has the same shape: <code>{\"error\": {\"code\", \"message\", \"field\", \"request_id\"}}</code>.</p><table>");
    for (code, status, meaning) in CODES {
        let _ = write!(out, "<tr><td><code>{code}</code><td>{status}<td>{}", escape(meaning));
    }
    out.push_str("</table>");
    out
}

fn one(out: &mut String, api: &Value, method: &str, path: &str, operation: &Value) {
    let _ = write!(
        out,
        "<details><summary><b>{}</b><code>{}</code> <span>{}</span></summary><p>{}</p>",
        method.to_uppercase(),
        escape(path),
        escape(text(&operation["summary"])),
        escape(text(&operation["description"])),
    );
    let parameters = operation["parameters"].as_array();
    if parameters.is_some_and(|parameters| !parameters.is_empty()) {
        out.push_str("<table><tr><th>parameter<th>type<th>meaning");
        for parameter in parameters.into_iter().flatten() {
            let _ = write!(
                out,
                "<tr><td><code>{}</code><td>{}<td>{}",
                escape(text(&parameter["name"])),
                escape(&kind(&parameter["schema"])),
                escape(text(&parameter["description"])),
            );
        }
        out.push_str("</table>");
    }
    for (media, content) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
        let _ = write!(out, "<p>Body, <code>{}</code>:</p>", escape(media));
        fields(out, api, &content["schema"], 0);
    }
    for (status, response) in operation["responses"].as_object().into_iter().flatten() {
        if !status.starts_with('2') {
            continue;
        }
        let _ = write!(out, "<p>Answer {status}:</p>");
        for content in response["content"].as_object().into_iter().flatten().map(|(_, content)| content) {
            fields(out, api, &content["schema"], 0);
        }
    }
    out.push_str("</details>");
}

/// The fields of a schema as a table; deep ones are named, not unfolded.
fn fields(out: &mut String, api: &Value, schema: &Value, depth: usize) {
    let schema = resolve(api, schema);
    for key in ["oneOf", "anyOf", "allOf"] {
        for part in schema[key].as_array().into_iter().flatten() {
            fields(out, api, part, depth);
        }
    }
    if schema["type"] == "array" && depth < 2 {
        out.push_str("<p class=dim>a list of</p>");
        return fields(out, api, &schema["items"], depth + 1);
    }
    let Some(properties) = schema["properties"].as_object() else {
        let plain = kind(schema);
        if !plain.is_empty() && schema["oneOf"].is_null() && schema["allOf"].is_null() {
            let _ = write!(out, "<p class=dim>{}</p>", escape(&plain));
        }
        return;
    };
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().map(text).collect();
    out.push_str("<table><tr><th>field<th>type<th>meaning");
    for (name, property) in properties {
        let needed = if required.contains(&name.as_str()) { "" } else { " <span class=dim>optional</span>" };
        let meaning = text(&property["description"]);
        let meaning = if meaning.is_empty() { text(&resolve(api, property)["description"]) } else { meaning };
        let _ = write!(
            out,
            "<tr><td><code>{}</code>{needed}<td>{}<td>{}",
            escape(name),
            escape(&kind(property)),
            escape(meaning)
        );
    }
    out.push_str("</table>");
}

fn resolve<'a>(api: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/components/schemas/")) {
        Some(name) => &api["components"]["schemas"][name],
        None => schema,
    }
}

/// A type in a word or two.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return name.to_owned();
    }
    if let Some(parts) = schema["oneOf"].as_array() {
        let parts: Vec<String> = parts.iter().map(kind).filter(|part| part != "null").collect();
        return parts.join(" or ");
    }
    let of = |types: &Value| match types {
        Value::String(one) => one.clone(),
        Value::Array(several) => {
            let several: Vec<&str> = several.iter().map(text).filter(|one| *one != "null").collect();
            several.join(" or ")
        }
        _ => String::new(),
    };
    match of(&schema["type"]).as_str() {
        "array" => format!("list of {}", kind(&schema["items"])),
        other => other.to_owned(),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
