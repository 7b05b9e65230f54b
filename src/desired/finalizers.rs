//! The finalizers of a space. The API server stores the same finalizer any number of times.

use std::collections::BTreeSet;

/// Returns the finalizers without duplicates, in the same order.
pub(crate) fn distinct_finalizers(finalizers: &[String]) -> Vec<&str> {
    let mut seen = BTreeSet::new();
    finalizers.iter().map(String::as_str).filter(|finalizer| seen.insert(*finalizer)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_the_same_finalizers_stays() {
        for (finalizers, expected) in [
            (vec![], vec![]),
            (vec!["example.com/b", "example.com/a"], vec!["example.com/b", "example.com/a"]),
            (vec!["example.com/b", "example.com/a", "example.com/b"], vec!["example.com/b", "example.com/a"]),
        ] {
            let finalizers: Vec<String> = finalizers.into_iter().map(str::to_owned).collect();
            assert_eq!(distinct_finalizers(&finalizers), expected);
        }
    }
}
