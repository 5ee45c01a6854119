//! The nodes that share a log: who is there, and how much of it each one has.

use maud::{Markup, html};

use super::super::look::{NodeSeen, Owners};
use super::others;
use crate::model::told::counted;

/// A node that was not heard of for so long is told of, milliseconds.
const SILENT_MS: i64 = 1_000;

/// A table with a row for each; nothing where there are none.
pub(super) fn nodes(seen: &[NodeSeen]) -> Markup {
    html! {
        @if !seen.is_empty() {
            h2 { "Nodes" }
            table {
                thead { tr {
                    th scope="col" { "Node" } th scope="col" { "Sign of life" } th scope="col" { "Has" } th scope="col" { "Version" }
                } }
                tbody { @for node in seen { (row(node)) } }
            }
        }
    }
}

fn row(node: &NodeSeen) -> Markup {
    let share = &node.share;
    html! {
        tr {
            th scope="row" data-label="Node" {
                (others(&share.name))
                @if node.heard.as_ref().is_some_and(|heard| heard.me) { " " span class="quiet" { "(this one)" } }
            }
            td data-label="Sign of life" {
                @match &node.heard {
                    Some(heard) if heard.me => span class="good" { "it answers" },
                    Some(heard) if heard.last_beat_ms < SILENT_MS => span class="good" { "well" },
                    Some(heard) => span class="warn" { "none for " (heard.last_beat_ms / 1_000) " s" },
                    None => span class="quiet" { "not known" },
                }
            }
            td data-label="Has" {
                (counted(share.webhooks, "webhook"))
                @if share.leads { ", and takes events in" }
                @if node.heard.as_ref().is_some_and(|heard| heard.config_differs) {
                    br; span class="warn" { "by another webhooks.toml" }
                }
            }
            td data-label="Version" { (others(&share.version)) }
        }
    }
}

/// Whose a webhook is, below its name.
pub(super) fn owner(owners: Option<&Owners>, webhook: &str) -> Markup {
    html! {
        @if let Some(owners) = owners {
            br;
            @match owners.of(webhook) {
                Some(node) => span class="quiet" { "node " (others(node)) },
                None => span class="quiet" { "no node's yet" },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::NodeStatus;
    use crate::store::NodeShare;

    fn node(name: &str, heard: Option<(i64, bool)>) -> NodeSeen {
        NodeSeen {
            heard: heard.map(|(last_beat_ms, me)| NodeStatus {
                last_beat_ms,
                me,
                config_differs: last_beat_ms == 1_500,
                ..NodeStatus::default()
            }),
            share: NodeShare {
                id: name.into(),
                name: name.to_owned(),
                version: "1.2.3".to_owned(),
                webhooks: 1,
                leads: name == "a",
            },
        }
    }

    #[test]
    fn each_node_is_told_as_it_was_heard_of() {
        assert_eq!(nodes(&[]).into_string(), "", "nothing where nobody shares");
        let told = nodes(&[
            node("a", Some((0, true))),
            node("b", Some((999, false))),
            node("c<", Some((1_500, false))),
            node("d", None),
        ]);
        let told = told.into_string();
        let rows: Vec<&str> = told.split("<tr>").skip(2).collect();
        for (row, words) in rows.iter().zip([
            ["(this one)", "it answers", "1 webhook, and takes events in"],
            [">b<", ">well<", "1 webhook<"],
            [">c&lt;<", "none for 1 s", "by another webhooks.toml"],
            [">d<", "not known", "1 webhook<"],
        ]) {
            assert!(
                words.iter().all(|word| row.contains(word)),
                "{words:?}: {row}"
            );
        }
    }
}
