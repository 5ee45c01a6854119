//! Differing: nodes whose configuration is not that of the one that takes events in are told of, there and on that one.
//!
//! By whose file events are taken in decides who gets them. A webhook that its own node's file lacks waits there: sending
//! it by another file would be a guess.

use std::sync::Arc;

use crate::outbox::Finding;
use crate::pipeline::send::Node;

/// Nodes that are told of for themselves; a mistake in a deployment is not told a hundred times.
const NODES: usize = 10;

/// Webhooks that are named.
const NAMED: usize = 5;

const HINT: &str = "compare the two files, and reload the one that is behind";

/// What this node has to say of files that differ; `lacking` are the webhooks that it has to send for and does not know.
pub(super) fn findings(nodes: &[Node], lacking: &[Arc<str>]) -> Vec<Finding> {
    let finding = |text| Finding {
        is_error: false,
        text,
        hint: Some(HINT.to_owned()),
    };
    let Some((lead, me)) = nodes
        .iter()
        .find(|node| node.leads)
        .zip(nodes.iter().find(|node| node.me))
    else {
        return Vec::new();
    };
    let digest = |node: &Node| node.config.clone().unwrap_or_default();
    let mut found = Vec::new();
    if me.leads {
        let others = nodes.iter().filter(|node| node.differs).take(NODES);
        found.extend(others.map(|other| {
            finding(format!(
                "the webhooks.toml of node {:?} ({}) is not this one's ({}), by which events are taken in",
                other.name,
                digest(other),
                digest(me)
            ))
        }));
    } else if me.differs {
        found.push(finding(format!(
            "this node's webhooks.toml ({}) is not that of node {:?} ({}), by which events are taken in",
            digest(me),
            lead.name,
            digest(lead)
        )));
    }
    if !lacking.is_empty() {
        let mut names: Vec<String> = lacking
            .iter()
            .take(NAMED)
            .map(|name| format!("{name:?}"))
            .collect();
        if lacking.len() > NAMED {
            names.push(format!("{} more", lacking.len() - NAMED));
        }
        found.push(finding(format!(
            "this node's webhooks.toml lacks what is its to send, or has it inactive: what is pending for {} waits",
            names.join(", ")
        )));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, [leads, me, differs]: [bool; 3]) -> Node {
        Node {
            id: name.into(),
            name: name.to_owned(),
            version: "1".to_owned(),
            config: Some(format!("{name}{name}")),
            webhooks: 1,
            last_beat_ms: 0,
            me,
            leads,
            differs,
            is_double: false,
        }
    }

    fn told(nodes: &[Node], lacking: &[Arc<str>]) -> Vec<String> {
        let found = findings(nodes, lacking);
        found.into_iter().map(|finding| finding.text).collect()
    }

    #[test]
    fn both_sides_are_told_and_nobody_else() {
        let all = |me: &str| {
            [("a", true, false), ("b", false, true), ("c", false, false)]
                .map(|(name, leads, differs)| node(name, [leads, name == me, differs]))
        };
        let of_lead = told(&all("a"), &[]);
        assert_eq!(
            of_lead,
            [
                "the webhooks.toml of node \"b\" (bb) is not this one's (aa), by which events are taken in"
            ]
        );
        let of_other = told(&all("b"), &[]);
        assert_eq!(
            of_other,
            [
                "this node's webhooks.toml (bb) is not that of node \"a\" (aa), by which events are taken in"
            ]
        );
        assert!(told(&all("c"), &[]).is_empty());
        assert!(told(&[], &[]).is_empty());
    }

    #[test]
    fn what_a_file_lacks_is_named_up_to_a_limit() {
        let nodes = [
            node("a", [true, false, false]),
            node("b", [false, true, true]),
        ];
        let lacking: Vec<Arc<str>> = (0..7).map(|n| format!("w{n}").into()).collect();
        let told = told(&nodes, &lacking);
        let waits = "what is pending for \"w0\", \"w1\", \"w2\", \"w3\", \"w4\", 2 more waits";
        assert!(told[1].ends_with(waits), "{told:?}");
    }
}
