//! Any text as a path: a parsed label is one segment, and no operation.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|path: &str| {
    if let Ok(route) = estd::http::route::parse(path)
        && let Some(label) = route.label
    {
        assert!(!label.as_str().contains(['/', '%', '\0']) && label.as_str() != "..");
    }
});
