//! The rules of a webhook's `where`, as the configuration means them.
//!
//! Values alone: how a path is read, and how rules are judged, is `filter`'s. What a condition is called
//! here is what users type.

use std::fmt;

use super::decimal::Number;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// The members of that name.
    Name(Box<str>),
    /// The element of that number, from 0.
    Index(u64),
    /// Each element, each member.
    Each,
}

/// Where in `data` a condition looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    /// As typed.
    pub(crate) text: Box<str>,
    /// What that means.
    pub(crate) steps: Box<[Step]>,
}

/// What values are compared with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Operand {
    /// A string.
    Text(Box<str>),
    /// A number.
    Number(Number),
    /// `true` or `false`.
    Truth(bool),
}

/// The test of a condition, by the word for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Word {
    /// Some value is the operand.
    Eq,
    /// No value is the operand.
    Ne,
    /// Some value is one of the operands.
    In,
    /// No value is one of the operands.
    NotIn,
    /// Some string begins with the operand.
    Prefix,
    /// Some string ends with the operand.
    Suffix,
    /// There is a value, or there is none.
    Exists,
    /// Some number is greater.
    Gt,
    /// Some number is greater or the same.
    Gte,
    /// Some number is less.
    Lt,
    /// Some number is less or the same.
    Lte,
}

impl Word {
    /// Every word, in the order of the documentation.
    pub(crate) const ALL: [Self; 11] = [
        Self::Eq,
        Self::Ne,
        Self::In,
        Self::NotIn,
        Self::Prefix,
        Self::Suffix,
        Self::Exists,
        Self::Gt,
        Self::Gte,
        Self::Lt,
        Self::Lte,
    ];

    /// The word.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Eq => "eq",
            Self::Ne => "ne",
            Self::In => "in",
            Self::NotIn => "not_in",
            Self::Prefix => "prefix",
            Self::Suffix => "suffix",
            Self::Exists => "exists",
            Self::Gt => "gt",
            Self::Gte => "gte",
            Self::Lt => "lt",
            Self::Lte => "lte",
        }
    }
}

/// One test of what is found at one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Where it looks.
    pub(crate) path: Path,
    /// What is asked of the values there.
    pub(crate) word: Word,
    /// What they are compared with: several for `in` and `not_in`, one for the others.
    pub(crate) operands: Box<[Operand]>,
}

impl Condition {
    /// Whether it holds where no value passes: then it asks for the opposite of what passing means.
    #[must_use]
    pub(crate) fn is_denial(&self) -> bool {
        match self.word {
            Word::Ne | Word::NotIn => true,
            Word::Exists => matches!(*self.operands, [Operand::Truth(false)]),
            _ => false,
        }
    }
}

/// One rule of `where`: all of a webhook's must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A condition.
    One(Condition),
    /// At least one of these.
    Any(Box<[Condition]>),
}

impl Rule {
    /// Its conditions.
    #[must_use]
    pub(crate) fn conditions(&self) -> &[Condition] {
        match self {
            Self::One(condition) => std::slice::from_ref(condition),
            Self::Any(all) => all,
        }
    }
}

/// The most operands that a condition is shown with.
const SHOWN: usize = 5;

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Truth(truth) => write!(f, "{truth}"),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.path.text, self.word.name())?;
        if !matches!(self.word, Word::In | Word::NotIn) {
            return match self.operands.first() {
                Some(operand) => write!(f, "{operand}"),
                None => Ok(()),
            };
        }
        f.write_str("[")?;
        for (n, operand) in self.operands.iter().take(SHOWN).enumerate() {
            let between = if n == 0 { "" } else { ", " };
            write!(f, "{between}{operand}")?;
        }
        match self.operands.len().saturating_sub(SHOWN) {
            0 => f.write_str("]"),
            more => write!(f, " and {more} more]"),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, condition) in self.conditions().iter().take(SHOWN).enumerate() {
            let between = if n == 0 { "" } else { ", or " };
            write!(f, "{between}{condition}")?;
        }
        match self.conditions().len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, ", or {more} more"),
        }
    }
}
