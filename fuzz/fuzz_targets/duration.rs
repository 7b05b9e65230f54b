//! A duration that is accepted has the same value after formatting and parsing; a text that is refused gives a short
//! error.
#![no_main]

use developerspace_operator::api::duration::{Ttl, format_duration, parse_duration};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match parse_duration(text) {
        Ok(span) => {
            assert!(span.num_seconds() > 0);
            let written = format_duration(span);
            assert_eq!(parse_duration(&written), Ok(span), "{text:?} was written as {written:?}");
            assert_eq!(text.parse(), Ok(Ttl::After(span)));
        }
        Err(error) => {
            assert!(error.to_string().len() < 1000);
            assert_eq!(text.parse::<Ttl>().is_ok(), matches!(text, "never" | "forever"));
        }
    }
});
