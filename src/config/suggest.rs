//! The key that a misspelt one was probably meant to be.

/// What to tell who gave `unknown`: the key that was meant, else the keys of its section, else the sections.
pub(super) fn hint(unknown: &str, keys: &[&str]) -> String {
    let near = meant(unknown, keys);
    if !near.is_empty() {
        return format!("did you mean {}?", near.join(" or "));
    }
    let section = unknown.split('.').next().unwrap_or_default();
    let prefix = format!("{section}.");
    let siblings: Vec<_> = keys.iter().filter_map(|key| key.strip_prefix(&prefix)).collect();
    if siblings.is_empty() {
        format!("accepted: the sections {}", sections(keys).join(", "))
    } else {
        format!("accepted: the keys of [{section}], {}", siblings.join(", "))
    }
}

fn sections<'a>(keys: &[&'a str]) -> Vec<&'a str> {
    let mut sections: Vec<_> = keys.iter().filter_map(|key| key.split('.').next()).collect();
    sections.dedup();
    sections
}

/// The nearest key by spelling; else those with the same last name in other sections.
fn meant<'a>(unknown: &str, keys: &[&'a str]) -> Vec<&'a str> {
    let name = last_name(unknown);
    let tolerated = if name.chars().count() < 10 { 2 } else { 3 };
    let nearest = keys
        .iter()
        .map(|key| (distance(unknown, key), *key))
        .filter(|(distance, _)| *distance <= tolerated && *distance < name.chars().count())
        .min();
    match nearest {
        Some((_, key)) => vec![key],
        None => keys.iter().copied().filter(|key| last_name(key) == name).collect(),
    }
}

fn last_name(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or_default()
}

/// Edits that turn `a` into `b`: insertions, deletions, substitutions, and swaps of neighbours (optimal string
/// alignment).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    let mut previous: Option<char> = None;
    for (i, from) in a.chars().enumerate() {
        let mut row = vec![i + 1];
        for (j, to) in b.iter().enumerate() {
            let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX - 1);
            let mut least = (at(&above, j) + usize::from(from != *to)).min(at(&above, j + 1) + 1);
            least = least.min(at(&row, j) + 1);
            let swapped = j > 0 && previous == Some(*to) && b.get(j - 1) == Some(&from);
            if swapped {
                least = least.min(at(&before, j - 1) + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
        previous = Some(from);
    }
    above.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 6] =
        ["node.id", "node.zone", "http.listen", "peer.listen", "log.level", "slo.convergence_p999"];

    #[test]
    fn edits_are_counted() {
        for (a, b, edits) in [("", "abc", 3), ("abc", "abc", 0), ("abc", "acb", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(a, b), edits, "{a} {b}");
            assert_eq!(distance(b, a), edits, "{b} {a}");
        }
    }

    #[test]
    fn a_misspelt_key_is_answered_with_the_one_that_was_meant() {
        assert_eq!(hint("node.zoen", &KEYS), "did you mean node.zone?");
        assert_eq!(hint("nodes.id", &KEYS), "did you mean node.id?");
        assert_eq!(hint("log.lvl", &KEYS), "did you mean log.level?");
        assert_eq!(hint("slo.convergnce_p99", &KEYS), "did you mean slo.convergence_p999?");
    }

    #[test]
    fn a_key_in_the_wrong_section_is_found_in_the_right_one() {
        assert_eq!(hint("node.listen", &KEYS), "did you mean http.listen or peer.listen?");
        assert_eq!(hint("zone", &KEYS), "did you mean node.zone?");
    }

    #[test]
    fn a_key_near_to_nothing_is_answered_with_what_there_is() {
        assert_eq!(hint("node.colour", &KEYS), "accepted: the keys of [node], id, zone");
        assert_eq!(hint("paint.colour", &KEYS), "accepted: the sections node, http, peer, log, slo");
    }
}
