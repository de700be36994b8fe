//! What Foldin is built from: permissive licences only, and no native library that a fresh machine would lack.

use crate::metadata::{Metadata, Package};

/// Licences that go with MIT OR Apache-2.0 in one binary.
const PERMISSIVE: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Packages that say `links` but bring everything themselves: Rayon uses it to stay single in a build, ring and mimalloc compile
/// sources of their own.
const SELF_CONTAINED: &[&str] = &["rayon-core", "ring", "libmimalloc-sys", "prettyplease"];

/// Reads the whole build and checks it.
pub(crate) fn run() -> Result<String, String> {
    let packages = Metadata::built()?.packages;
    let complaints: Vec<String> = packages.iter().filter_map(complaint).collect();
    if complaints.is_empty() {
        Ok(format!("licences: {} packages, all permissive, no system library", packages.len()))
    } else {
        Err(format!("licences:\n{}", complaints.join("\n")))
    }
}

fn complaint(package: &Package) -> Option<String> {
    let Package { name, version, license, links, .. } = package;
    match license {
        None => return Some(format!("  {name} {version} states no licence")),
        Some(expression) if !usable(expression) => {
            return Some(format!("  {name} {version} is under {expression}"));
        }
        Some(_) => {}
    }
    links
        .as_ref()
        .filter(|_| !SELF_CONTAINED.contains(&name.as_str()))
        .map(|library| format!("  {name} {version} links the native library `{library}`"))
}

/// Whether an SPDX expression can be met with permissive licences alone. Handles what occurs: OR of ANDs, parentheses around
/// alternatives, and the old `/` for OR.
fn usable(expression: &str) -> bool {
    let flat = expression.replace('/', " OR ");
    split_outside(&flat, " AND ").iter().all(|part| {
        let part = part.trim();
        let inner = part.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).unwrap_or(part);
        if inner == part { alternatives(inner) } else { usable(inner) }
    }) || (!flat.contains('(') && flat.split(" OR ").any(|part| part.split(" AND ").all(permissive)))
}

fn alternatives(expression: &str) -> bool {
    expression.split(" OR ").any(permissive)
}

fn permissive(name: &str) -> bool {
    PERMISSIVE.contains(&name.trim())
}

/// Splits at `separator` where no parenthesis is open.
fn split_outside<'a>(text: &'a str, separator: &str) -> Vec<&'a str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0i32, 0);
    for (at, sign) in text.char_indices() {
        match sign {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ if depth == 0 && at >= start && text[at..].starts_with(separator) => {
                parts.push(&text[start..at]);
                start = at + separator.len();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_understood() {
        for good in [
            "MIT",
            "MIT OR Apache-2.0",
            "MIT/Apache-2.0",
            "Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 AND ISC",
            "GPL-3.0 OR MIT",
            "GPL-3.0 OR MIT AND ISC",
        ] {
            assert!(usable(good), "{good}");
        }
        for bad in
            ["GPL-3.0", "MIT AND GPL-3.0", "(MIT OR Apache-2.0) AND GPL-3.0", "SSPL-1.0 OR AGPL-3.0", ""]
        {
            assert!(!usable(bad), "{bad}");
        }
    }

    #[test]
    fn a_native_library_is_named() {
        let package = |name: &str, links: Option<&str>| Package {
            name: name.into(),
            version: "1.0.0".into(),
            license: Some("MIT".into()),
            links: links.map(Into::into),
            dependencies: Vec::new(),
        };
        assert!(
            complaint(&package("openblas-src", Some("openblas")))
                .is_some_and(|text| text.contains("openblas"))
        );
        assert_eq!(complaint(&package("rayon-core", Some("rayon-core"))), None);
        assert_eq!(complaint(&package("serde", None)), None);
    }
}
