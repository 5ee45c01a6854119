//! The paths of many conditions as one tree, so that `data` is read once for all of them.

use std::collections::BTreeMap;

use crate::model::Step;

/// The node of the path `$`.
pub(super) const ROOT: usize = 0;

/// Paths by their steps. A node is a path or the beginning of one; its number names it to others.
#[derive(Debug)]
pub(super) struct Trie {
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    /// Ordered maps, and no hashes: names come from other people's data, and objects have few of them
    /// that a rule asks for.
    names: BTreeMap<Box<[u8]>, usize>,
    indices: BTreeMap<u64, usize>,
    each: Option<usize>,
}

impl Default for Trie {
    fn default() -> Self {
        Self {
            nodes: vec![Node::default()],
        }
    }
}

impl Trie {
    /// The node of that path, made where there is none yet.
    pub(super) fn add(&mut self, steps: &[Step]) -> usize {
        let mut at = ROOT;
        for step in steps {
            let new = self.nodes.len();
            let node = &mut self.nodes[at];
            at = match step {
                Step::Name(name) => *node.names.entry(name.as_bytes().into()).or_insert(new),
                Step::Index(index) => *node.indices.entry(*index).or_insert(new),
                Step::Each => *node.each.get_or_insert(new),
            };
            if at == new {
                self.nodes.push(Node::default());
            }
        }
        at
    }

    /// Whether a path goes on inside of an object there.
    pub(super) fn enters_objects(&self, node: usize) -> bool {
        let node = &self.nodes[node];
        node.each.is_some() || !node.names.is_empty()
    }

    /// Whether a path goes on inside of an array there.
    pub(super) fn enters_arrays(&self, node: usize) -> bool {
        let node = &self.nodes[node];
        node.each.is_some() || !node.indices.is_empty()
    }

    /// The nodes of a member of that name.
    pub(super) fn member(&self, node: usize, name: &[u8]) -> impl Iterator<Item = usize> {
        let node = &self.nodes[node];
        let named = match node.names.is_empty() {
            true => None,
            false => node.names.get(name).copied(),
        };
        named.into_iter().chain(node.each)
    }

    /// The nodes of the element of that number.
    pub(super) fn element(&self, node: usize, index: u64) -> impl Iterator<Item = usize> {
        let node = &self.nodes[node];
        let numbered = match node.indices.is_empty() {
            true => None,
            false => node.indices.get(&index).copied(),
        };
        numbered.into_iter().chain(node.each)
    }
}
