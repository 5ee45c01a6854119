//! `README.md` and the pages of `packaging/manual` taken apart: fenced blocks, inline code, links and tables.
//!
//! Knows only the Markdown that the page uses: fences of three backticks at the line's begin, and
//! code spans of one backtick.

use std::path::PathBuf;

/// A fenced block.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// The heading it stands under.
    pub(super) heading: String,
    /// The word behind the fence.
    pub(super) language: String,
    /// What is inside.
    pub(super) text: String,
}

/// A file of the top level or below.
pub(super) fn top(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Where the pages are: the first, then the manual's by name.
fn places() -> Vec<PathBuf> {
    let manual = std::fs::read_dir(top("packaging/manual")).unwrap();
    let mut places: Vec<_> = manual.map(|entry| entry.unwrap().path()).collect();
    places.sort();
    places.insert(0, top("README.md"));
    places
}

/// The text of them all, one behind the other.
pub(super) fn text() -> String {
    let read = |place: PathBuf| std::fs::read_to_string(place).unwrap();
    places().into_iter().map(read).collect()
}

/// Their fenced blocks, and what stands outside of them.
fn parts() -> (Vec<Block>, String) {
    apart(&text())
}

/// The fenced blocks of a text, and what stands outside of them.
fn apart(text: &str) -> (Vec<Block>, String) {
    let (mut blocks, mut prose) = (Vec::new(), String::new());
    let (mut heading, mut open) = (String::new(), None::<Block>);
    for line in text.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => {
                open = Some(Block {
                    heading: heading.clone(),
                    language: language.to_owned(),
                    text: String::new(),
                });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => block.text.extend([line, "\n"]),
            (None, None) => {
                if line.starts_with('#') {
                    line.trim_start_matches('#').trim().clone_into(&mut heading);
                }
                prose.extend([line, "\n"]);
            }
        }
    }
    assert!(open.is_none(), "a fence is open at the end");
    (blocks, prose)
}

/// Its fenced blocks in their order.
pub(super) fn blocks() -> Vec<Block> {
    parts().0
}

/// The blocks of a language under a heading.
#[track_caller]
pub(super) fn under(heading: &str, language: &str) -> Vec<String> {
    let wanted = |block: &Block| block.heading == heading && block.language == language;
    let found: Vec<_> = blocks().into_iter().filter(wanted).collect();
    assert!(!found.is_empty(), "no {language} under {heading:?}");
    found.into_iter().map(|block| block.text).collect()
}

/// The one block of a language under a heading.
#[track_caller]
pub(super) fn one(heading: &str, language: &str) -> String {
    let mut found = under(heading, language);
    assert_eq!(found.len(), 1, "blocks of {language} under {heading:?}");
    found.remove(0)
}

/// All code: the blocks, and the code spans of the prose.
pub(super) fn code() -> Vec<String> {
    let (blocks, prose) = parts();
    let spans = prose.split('`').skip(1).step_by(2).map(str::to_owned);
    blocks.into_iter().map(|b| b.text).chain(spans).collect()
}

/// Where the links to files of ours lead.
pub(super) fn links() -> Vec<PathBuf> {
    let mut links = Vec::new();
    for place in places() {
        let (_, prose) = apart(&std::fs::read_to_string(&place).unwrap());
        for rest in prose.split("](").skip(1) {
            let link = rest.split([')', '#']).next().unwrap();
            if !link.is_empty() {
                links.push(place.with_file_name(link));
            }
        }
    }
    links
}
