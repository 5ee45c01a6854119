//! Namesakes: nodes of one name that live side by side, whom no journal, page or status can tell apart.
//!
//! Left out: which nodes those are (`member`). A row that a process left behind is none.

use std::collections::BTreeMap;

use crate::outbox::Finding;
use crate::pipeline::send::Node;

/// Names that are told of; a mistake in a deployment is not told a hundred times.
const NAMES: usize = 10;

const HINT: &str =
    "start each with a name of its own, run --node NAME; without it a node has its machine's name";

/// What there is to say of nodes of one name, on every node alike.
pub(super) fn findings(nodes: &[Node]) -> Vec<Finding> {
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    for node in nodes.iter().filter(|node| node.is_double) {
        *names.entry(&node.name).or_default() += 1;
    }
    let several = names.into_iter().filter(|(_, count)| *count > 1);
    let finding = |(name, count): (&str, usize)| {
        let count = match count {
            2 => "two".to_owned(),
            count => count.to_string(),
        };
        Finding {
            is_error: false,
            text: format!(
                "{count} nodes are called {name:?}: journals, status and page can't tell them apart"
            ),
            hint: Some(HINT.to_owned()),
        }
    };
    several.take(NAMES).map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str, name: &str, is_double: bool) -> Node {
        Node {
            id: id.into(),
            name: name.to_owned(),
            version: "1".to_owned(),
            config: None,
            webhooks: 1,
            last_beat_ms: 0,
            me: false,
            leads: false,
            differs: false,
            is_double,
        }
    }

    #[test]
    fn each_name_of_several_living_nodes_is_told_once() {
        let told = findings(&[
            node("1", "a", true),
            node("2", "a", true),
            node("3", "b", true),
            node("4", "c", false),
            node("5", "c", false),
            node("6", "d", true),
            node("7", "d", true),
            node("8", "d", true),
        ]);
        let told: Vec<String> = told.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(
            told[0].starts_with("two nodes are called \"a\": "),
            "{told:?}"
        );
        assert!(
            told[1].starts_with("3 nodes are called \"d\": "),
            "{told:?}"
        );
        assert!(told[0].contains("run --node NAME"), "{told:?}");
    }
}
