//! Names that the user may have meant by a name that does not exist.

/// Up to three of `names` that the user may have meant by `word`, the most similar first.
pub(super) fn similar(word: &str, names: &[String]) -> Vec<String> {
    let far = (word.chars().count() / 3).clamp(1, 3);
    let mut near: Vec<(usize, &String)> = names
        .iter()
        .filter_map(|name| {
            let distance = distance(word, name);
            let part = word.len() >= 3 && (name.contains(word) || (name.len() >= 3 && word.contains(name.as_str())));
            (distance <= far || part).then_some((distance, name))
        })
        .collect();
    near.sort();
    near.into_iter().take(3).map(|(_, name)| name.clone()).collect()
}

/// The number of letters to insert, delete or change, see <https://en.wikipedia.org/wiki/Levenshtein_distance>.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (above, letter) in from.chars().enumerate() {
        let mut next = vec![above + 1];
        let mut left = above + 1;
        for (pair, other) in row.windows(2).zip(&to) {
            left = (pair[0] + usize::from(letter != *other)).min(pair[1] + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_similar_if_few_letters_differ() {
        let names = ["orchid-lab", "orchid-labs", "moss", "fern-lab", "lab"].map(ToOwned::to_owned);
        for (word, alike) in [
            ("orchidlab", vec!["orchid-lab", "orchid-labs", "lab"]),
            ("fern", vec!["fern-lab"]),
            ("mos", vec!["moss"]),
            ("zebra", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(similar(word, &names), alike, "{word}");
        }
        for (from, to, apart) in [("", "", 0), ("", "ab", 2), ("kitten", "sitting", 3), ("ab", "ba", 2)] {
            assert_eq!(distance(from, to), apart, "{from} and {to}");
        }
    }
}
