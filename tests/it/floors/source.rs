//! Rust source as `floors.rs` needs it: words without comments and strings, the paths they make,
//! and which of them are test code.
//!
//! A reader of text, no parser: it knows nothing of types and sees through no macro. It errs on the
//! strict side, so a path that the compiler would never resolve still counts. What it keeps: a
//! mention in a comment, a string or a character is never a word.

/// A word or a mark of the source, with its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) line: usize,
}

/// A path as it stands, groups taken apart: `use crate::{a, b::c}` makes two.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) segments: Vec<String>,
    pub(super) line: usize,
    /// Whether it comes directly after `use`.
    pub(super) is_use: bool,
    /// Whether it is a `pub use` of some width: the name is passed on, and not needed here.
    pub(super) is_passed_on: bool,
    /// Whether it gets another name: `use a::b as c`.
    pub(super) renamed: bool,
    /// How many `mod name { .. }` of the same file are around it.
    pub(super) inline_mods: usize,
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

struct Reader {
    chars: Vec<char>,
    at: usize,
    line: usize,
}

impl Reader {
    fn peek(&self, ahead: usize) -> char {
        self.chars.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn sees(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(n, c)| self.peek(n) == c)
    }

    fn next(&mut self) -> char {
        let c = self.peek(0);
        self.line += usize::from(c == '\n');
        self.at += 1;
        c
    }

    fn skip(&mut self, count: usize) {
        for _ in 0..count {
            self.next();
        }
    }

    fn ended(&self) -> bool {
        self.at >= self.chars.len()
    }

    fn skip_block_comment(&mut self) {
        let mut depth = 0;
        while !self.ended() {
            if self.sees("/*") {
                depth += 1;
                self.skip(2);
            } else if self.sees("*/") {
                depth -= 1;
                self.skip(2);
                if depth == 0 {
                    return;
                }
            } else {
                self.next();
            }
        }
    }

    /// From behind the opening quote to behind the closing one.
    fn skip_quoted(&mut self, quote: char) {
        while !self.ended() {
            match self.next() {
                '\\' => self.skip(1),
                c if c == quote => return,
                _ => {}
            }
        }
    }

    /// From the hashes of a raw string to behind its end.
    fn skip_raw(&mut self, hashes: usize) {
        self.skip(hashes + 1);
        let end = format!("\"{}", "#".repeat(hashes));
        while !self.ended() && !self.sees(&end) {
            self.next();
        }
        self.skip(end.len());
    }

    /// What follows a word may make it the prefix of a literal. Takes the literal if so.
    fn skip_literal_after(&mut self, word: &str) -> bool {
        let hashes = (0..).take_while(|n| self.peek(*n) == '#').count();
        if matches!(word, "r" | "br" | "cr") && self.peek(hashes) == '"' {
            self.skip_raw(hashes);
        } else if matches!(word, "b" | "c") && self.peek(0) == '"' {
            self.skip(1);
            self.skip_quoted('"');
        } else if word == "b" && self.peek(0) == '\'' {
            self.skip(1);
            self.skip_quoted('\'');
        } else if word == "r" && hashes == 1 && is_word(self.peek(1)) {
            self.skip(1);
        } else {
            return false;
        }
        true
    }
}

/// The words and marks of a source text; `::` is one mark.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut reader = Reader {
        chars: text.chars().collect(),
        at: 0,
        line: 1,
    };
    while !reader.ended() {
        let line = reader.line;
        let c = reader.peek(0);
        if reader.sees("//") {
            while !reader.ended() && reader.peek(0) != '\n' {
                reader.next();
            }
        } else if reader.sees("/*") {
            reader.skip_block_comment();
        } else if c == '"' {
            reader.skip(1);
            reader.skip_quoted('"');
        } else if c == '\'' {
            // A lifetime has no second quote; its name is left behind as a word of its own.
            let is_char = reader.peek(1) == '\\' || reader.peek(2) == '\'';
            reader.skip(1);
            if is_char {
                reader.skip_quoted('\'');
            }
        } else if is_word(c) {
            let mut text = String::new();
            while is_word(reader.peek(0)) {
                text.push(reader.next());
            }
            if !reader.skip_literal_after(&text) {
                tokens.push(Token { text, line });
            }
        } else {
            let text = if reader.sees("::") {
                "::".to_owned()
            } else {
                c.to_string()
            };
            reader.skip(text.chars().count());
            if !c.is_whitespace() {
                tokens.push(Token { text, line });
            }
        }
    }
    tokens
}

fn text_at(tokens: &[Token], at: usize) -> &str {
    tokens.get(at).map_or("", |t| &t.text)
}

fn is_word_at(tokens: &[Token], at: usize) -> bool {
    text_at(tokens, at).starts_with(is_word)
}

/// Behind the attribute that begins at `at`, if one does.
fn end_of_attribute(tokens: &[Token], at: usize) -> Option<usize> {
    if text_at(tokens, at) != "#" || text_at(tokens, at + 1) != "[" {
        return None;
    }
    let mut depth = 0_usize;
    for (n, token) in tokens.iter().enumerate().skip(at + 1) {
        match &*token.text {
            "[" => depth += 1,
            "]" if depth == 1 => return Some(n + 1),
            "]" => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Whether an item begins there, and not a field, an arm or an expression.
fn is_item(tokens: &[Token], at: usize) -> bool {
    let of_visibility = |t: &&Token| ["pub", "(", "crate", "super", "in", ")"].contains(&&*t.text);
    let word = tokens.iter().skip(at).find(|t| !of_visibility(t));
    word.is_some_and(|t| {
        let items = "async const enum extern fn impl let macro_rules mod static struct trait type unsafe use";
        items.split(' ').any(|item| item == t.text)
    })
}

/// Behind what begins at `at`: an item ends with its braces or a `;`, anything else with a comma too.
fn end_of_item(tokens: &[Token], at: usize) -> usize {
    let is_item = is_item(tokens, at);
    let mut depth = 0_usize;
    for (n, token) in tokens.iter().enumerate().skip(at) {
        match &*token.text {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" if depth == 0 => return n,
            "}" if depth == 1 => return n + 1,
            "}" | ")" | "]" => depth -= 1,
            ";" if depth == 0 => return n + 1,
            "," if depth == 0 && !is_item => return n + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// The spans under `#[cfg(test)]`, from the attribute to behind what it is on.
fn test_items(tokens: &[Token]) -> Vec<(usize, usize)> {
    let mark = ["#", "[", "cfg", "(", "test", ")", "]"];
    let is_mark = |at: &usize| (0..).zip(mark).all(|(n, m)| text_at(tokens, at + n) == m);
    let span = |at: usize| {
        let mut item = at;
        while let Some(end) = end_of_attribute(tokens, item) {
            item = end;
        }
        (at, end_of_item(tokens, item))
    };
    (0..tokens.len()).filter(is_mark).map(span).collect()
}

/// The tokens without the items under `#[cfg(test)]`.
pub(super) fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let items = test_items(tokens);
    let in_test = |at: usize| items.iter().any(|(from, to)| (*from..*to).contains(&at));
    let kept = tokens.iter().enumerate().filter(|(at, _)| !in_test(*at));
    kept.map(|(_, token)| token.clone()).collect()
}

/// The modules in files of their own that are declared under `#[cfg(test)]`.
pub(super) fn test_modules(tokens: &[Token]) -> Vec<String> {
    let name = |(_, end): (usize, usize)| {
        let [.., declares, name, semicolon] = tokens.get(..end)? else {
            return None;
        };
        let is_file = declares.text == "mod" && semicolon.text == ";";
        is_file.then(|| name.text.clone())
    };
    test_items(tokens).into_iter().filter_map(name).collect()
}

/// Every module that is declared, inline or in a file of its own, with its line.
pub(super) fn declared_modules(tokens: &[Token]) -> Vec<&Token> {
    let declares =
        |at: &usize| text_at(tokens, *at) == "mod" && matches!(text_at(tokens, at + 2), ";" | "{");
    let modules = (0..tokens.len()).filter(declares);
    modules.filter_map(|at| tokens.get(at + 1)).collect()
}

/// Every path of the source, those of a single word too.
pub(super) fn paths(tokens: &[Token]) -> Vec<Path> {
    let mut paths = Vec::new();
    // For each open brace, whether it is a module's.
    let mut braces: Vec<bool> = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        match text_at(tokens, at) {
            "{" => braces.push(at >= 2 && text_at(tokens, at - 2) == "mod"),
            "}" => {
                braces.pop();
            }
            _ => {}
        }
        if !is_word_at(tokens, at) || starts_no_path(text_at(tokens, at)) {
            at += 1;
            continue;
        }
        let before = |n: usize| at.checked_sub(n).map_or("", |b| text_at(tokens, b));
        let is_use = before(1) == "use" || before(1) == "::" && before(2) == "use";
        let behind_use = if before(1) == "use" { 2 } else { 3 };
        let is_passed_on = is_use && ["pub", ")"].contains(&before(behind_use));
        let inline_mods = braces.iter().filter(|is_mod| **is_mod).count();
        let first = paths.len();
        at = tree(tokens, at, Vec::new(), &mut paths);
        for path in paths.iter_mut().skip(first) {
            path.is_use = is_use;
            path.is_passed_on = is_passed_on;
            path.inline_mods = inline_mods;
        }
    }
    paths
}

/// Whether a `::` behind the word is the root of a path and no part of one: `use ::a`.
fn starts_no_path(word: &str) -> bool {
    let keywords = "as break const dyn else if impl in let match move mut pub ref return use where";
    keywords.split(' ').any(|keyword| keyword == word)
}

/// Takes the path that begins at `at`, and every branch of it; gives where it ends.
fn tree(tokens: &[Token], mut at: usize, mut segments: Vec<String>, into: &mut Vec<Path>) -> usize {
    let line = tokens.get(at).map_or(0, |t| t.line);
    loop {
        if text_at(tokens, at) == "{" {
            at += 1;
            while at < tokens.len() && text_at(tokens, at) != "}" {
                at = match text_at(tokens, at) {
                    "," => at + 1,
                    _ => tree(tokens, at, segments.clone(), into).max(at + 1),
                };
            }
            return at + 1;
        }
        segments.extend(tokens.get(at).map(|t| t.text.clone()));
        at += 1;
        let goes_on = is_word_at(tokens, at + 1) || ["{", "*"].contains(&text_at(tokens, at + 1));
        if text_at(tokens, at) != "::" || !goes_on {
            break;
        }
        at += 1;
    }
    let renamed = text_at(tokens, at) == "as";
    into.push(Path {
        segments,
        line,
        is_use: false,
        is_passed_on: false,
        renamed,
        inline_mods: 0,
    });
    if renamed { at + 2 } else { at }
}
