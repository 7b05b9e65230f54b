//! Kubernetes quantities (`500m`, `2`, `10Gi`) compared by value, as the API server does.
//!
//! Whole numbers of nano-units in an `i128`; `k8s.io/apimachinery/pkg/api/resource` is the source of the grammar.

use std::cmp::Ordering;

use serde::{Deserialize, Deserializer, Serialize};

const NANO: i128 = 1_000_000_000;

/// A quantity as it was written. Whole numbers may be written without quotes.
///
/// Equality is that of the text; [`Quantity::value`] compares by value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Quantity(pub String);

/// The value of a quantity in billionths, rounded up as the API server stores it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(i128);

impl Amount {
    /// Returns true if the value is below zero.
    pub fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// Returns true if the value is a whole number.
    pub fn is_whole(self) -> bool {
        self.0 % NANO == 0
    }

    /// Compares `self` times `small` with `large`; `None` if the product overflows.
    pub fn times_compares(self, small: Self, large: Self) -> Option<Ordering> {
        let (times, small, large) = (self.to_milli(), small.to_milli(), large.to_milli());
        Some(times.checked_mul(small)?.cmp(&large.checked_mul(1_000)?))
    }

    /// The value rounded up to thousandths: the precision in which the server compares quotas.
    #[must_use]
    pub fn to_milli(self) -> i128 {
        let milli = NANO / 1_000;
        self.0.div_euclid(milli) + i128::from(self.0.rem_euclid(milli) != 0)
    }
}

impl Quantity {
    /// The value, or `None` if the text is not a quantity.
    pub fn value(&self) -> Option<Amount> {
        parse(&self.0).map(Amount)
    }

    /// Compares by value; `None` if either is not a quantity.
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        Some(self.value()?.cmp(&other.value()?))
    }

    /// The canonical comparison key: thousandths if it is a quantity, else the text itself, so that an invalid text
    /// equals only itself.
    pub fn key(&self) -> String {
        self.value().map_or_else(|| format!("!{}", self.0), |value| value.to_milli().to_string())
    }
}

impl From<&str> for Quantity {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<&Quantity> for k8s_openapi::apimachinery::pkg::api::resource::Quantity {
    fn from(quantity: &Quantity) -> Self {
        Self(quantity.0.clone())
    }
}

impl From<&k8s_openapi::apimachinery::pkg::api::resource::Quantity> for Quantity {
    fn from(quantity: &k8s_openapi::apimachinery::pkg::api::resource::Quantity) -> Self {
        Self(quantity.0.clone())
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Text(String),
            Number(serde_json::Number),
        }
        Ok(match Written::deserialize(deserializer)? {
            Written::Text(text) => Self(text),
            Written::Number(number) => Self(number.to_string()),
        })
    }
}

/// The value of `[+-]digits[.digits][suffix]` in nano-units, rounded away from zero; `None` if the text is not a
/// quantity. A value that is too large for an `i128` becomes the largest `i128`, which is above every value that it is
/// compared with. With a binary suffix the API server stores 2^63-1 instead of any larger value, see `ParseQuantity` in
/// `k8s.io/apimachinery/pkg/api/resource/quantity.go`.
fn parse(text: &str) -> Option<i128> {
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let end = unsigned.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
    let (number, suffix) = unsigned.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let decimals = i32::try_from(fraction.len()).ok()?;
    let (factor, exponent) = scale(suffix)?;
    let shift = exponent.saturating_add(9).saturating_sub(decimals);
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let magnitude = if shift < 0 {
        divided(digits, factor, shift.unsigned_abs())
    } else {
        let power = 10_i128.checked_pow(shift.unsigned_abs()).unwrap_or(i128::MAX);
        whole_number(digits).saturating_mul(factor).saturating_mul(power)
    };
    let magnitude = if suffix.ends_with('i') { magnitude.min(LARGEST_BINARY) } else { magnitude };
    Some(if negative { -magnitude } else { magnitude })
}

/// 2^63-1 in nano-units.
const LARGEST_BINARY: i128 = 9_223_372_036_854_775_807_000_000_000;

/// A suffix as (binary factor, power of ten).
fn scale(suffix: &str) -> Option<(i128, i32)> {
    Some(match suffix {
        "" => (1, 0),
        "n" => (1, -9),
        "u" => (1, -6),
        "m" => (1, -3),
        "k" => (1, 3),
        "M" => (1, 6),
        "G" => (1, 9),
        "T" => (1, 12),
        "P" => (1, 15),
        "E" => (1, 18),
        "Ki" => (1 << 10, 0),
        "Mi" => (1 << 20, 0),
        "Gi" => (1 << 30, 0),
        "Ti" => (1 << 40, 0),
        "Pi" => (1 << 50, 0),
        "Ei" => (1 << 60, 0),
        _ => {
            let digits = suffix.strip_prefix(['e', 'E'])?;
            let exponent: i32 = digits.strip_prefix('+').unwrap_or(digits).parse().ok()?;
            (1, exponent)
        }
    })
}

/// Parses digits; the largest `i128` if there are too many.
fn whole_number(digits: &str) -> i128 {
    if digits.is_empty() { 0 } else { digits.parse().unwrap_or(i128::MAX) }
}

/// `digits * factor / 10^exponent`, rounded up. Exact wherever the API server is, although the product may not fit into
/// an `i128`.
fn divided(digits: &str, factor: i128, exponent: u32) -> i128 {
    /// The most digits of a remainder that can be multiplied by `HALF` without an overflow. A larger binary factor is
    /// applied in two steps.
    const PRECISE: u32 = 28;
    const HALF: i128 = 1 << 30;
    let places = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    let (whole, rest) = digits.split_at(digits.len().saturating_sub(places(exponent)));
    let (rest, dropped) = rest.split_at(rest.len().saturating_sub(places(exponent.saturating_sub(PRECISE))));
    let rest = whole_number(rest) + i128::from(dropped.bytes().any(|digit| digit != b'0'));
    let power = 10_i128.pow(exponent.min(PRECISE));
    let (first, second) = if factor > HALF { (HALF, factor / HALF) } else { (factor, 1) };
    let (high, low) = (rest * first / power, rest * first % power * second);
    let fraction = high * second + low / power + i128::from(low % power != 0);
    whole_number(whole).saturating_mul(factor).saturating_add(fraction)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value(text: &str) -> Option<Amount> {
        Quantity::from(text).value()
    }

    #[test]
    fn different_notations_of_one_value_are_equal() {
        for (a, b) in [
            ("1000m", "1"),
            ("1024Mi", "1Gi"),
            ("0.5", "500m"),
            (".5", "500m"),
            ("1.1Ki", "1126400m"),
            ("1e3", "1k"),
            ("1E3", "1k"),
            ("1E", "1000000000000000000"),
            ("8Ei", "9223372036854775807"),
            ("16Ei", "8Ei"),
            ("+2", "2"),
            ("2.", "2"),
            ("0", "-0"),
            ("1n", "0.000000001"),
            ("0.1n", "1n"),
        ] {
            assert_eq!(value(a), value(b), "{a} and {b}");
            assert!(value(a).is_some(), "{a}");
        }
        assert_ne!(value("1Gi"), value("1G"));
        assert!(value("1Gi") > value("1.073741823G") && value("9223372036854775808") > value("16Ei"));
        let astronomical = format!("{}E", "9".repeat(31));
        assert!(value(&astronomical) > value("8Ei") && value(&format!("-{astronomical}")) < value("0"));
    }

    #[test]
    fn many_digits_do_not_make_a_value_small() {
        for text in [
            "1.0000000000000000000000000000Ei",
            "1.0000000000000000000000000000000000000000000000Ti",
            "10000000000000000000000000.000000E",
        ] {
            assert!(value(text) > value("1000Gi"), "{text}: {:?}", value(text));
        }
        assert!(value("0.00000000000000000000000000000000000000000000001") <= value("1n"));
    }

    #[test]
    fn rejects_invalid_quantities() {
        for text in ["", "-", "--1", "1x", "1 Gi", "Gi", ".", "1.2.3", "1e", "1KI", "0x10", "NaN", "١"] {
            assert_eq!(value(text), None, "{text:?}");
        }
    }

    #[test]
    fn keys_round_up_to_thousandths() {
        assert_eq!(Quantity::from("1.0001").key(), Quantity::from("1001m").key());
        assert_eq!(Quantity::from("oops").key(), "!oops");
    }

    #[test]
    fn reads_numbers_and_text() {
        let read: Vec<Quantity> = serde_json::from_str(r#"["4", 4, 0.5]"#).unwrap();
        assert_eq!(read, ["4".into(), "4".into(), "0.5".into()]);
    }

    proptest! {
        #[test]
        fn milli_and_whole_agree(n in 0_i64..1_000_000_000) {
            prop_assert_eq!(value(&format!("{n}000m")), value(&n.to_string()));
            prop_assert_eq!(value(&format!("{n}Ki")), value(&(n * 1024).to_string()));
        }

        #[test]
        fn never_panics(text in "\\PC{0,48}") {
            let _ = value(&text);
        }

        #[test]
        fn grammar_never_panics(text in "[+-]?[0-9]{0,40}[.]?[0-9]{0,12}(n|u|m|k|[MGTPE]i?|e[+-]?[0-9]{1,9})?") {
            let _ = value(&text);
        }
    }
}
