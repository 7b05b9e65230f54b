//! For any two texts, the order of the quantities is total and agrees with their keys, and trailing zeros do not change
//! a value.
#![no_main]

use developerspace_operator::api::quantity::Quantity;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|texts: (&str, &str)| {
    let [one, other] = [texts.0, texts.1].map(Quantity::from);
    let (Some(a), Some(b)) = (one.value(), other.value()) else {
        assert!(one.compare(&other).is_none());
        return;
    };
    assert_eq!(one.compare(&other), Some(a.cmp(&b)));
    assert_eq!(other.compare(&one), Some(b.cmp(&a)));
    assert_eq!(one.key() == other.key(), a.to_milli() == b.to_milli());
    assert!(a != b || one.key() == other.key());
    assert!(a <= b || a.to_milli() >= b.to_milli(), "the key keeps the order");
    padded(texts.0);
});

/// `1Gi` equals `1.000Gi` with any number of zeros. Otherwise a spec could exceed a ceiling, or a difference would be
/// reported indefinitely.
fn padded(text: &str) {
    let end = text.find(|letter: char| !letter.is_ascii_digit() && !"+-.".contains(letter)).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    if number.starts_with('-') {
        return;
    }
    let point = if number.contains('.') { "" } else { "." };
    let long = Quantity(format!("{number}{point}{}{suffix}", "0".repeat(50)));
    assert_eq!(long.value(), Quantity::from(text).value(), "{long:?} is not {text:?}");
}
