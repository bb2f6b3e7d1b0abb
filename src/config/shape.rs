//! What a configuration looks like, as data: the schema and the reference are made from it.

/// The form of a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    Bool,
    /// Inclusive bounds.
    Integer(i64, i64),
    /// What the text is, and the pattern it follows (empty: any).
    Text(&'static str, &'static str),
    Words(Vec<&'static str>),
    /// Zero or more; with `true`, one may be written without brackets.
    List(Box<Shape>, bool),
    /// Keys are names; what they name.
    Map(&'static str, Box<Shape>),
    Table(TableShape),
    Any(Vec<Shape>),
    /// Whatever a plugin wants.
    Anything,
}

/// A table with known keys.
#[derive(Debug, Clone, PartialEq)]
pub struct TableShape {
    pub about: String,
    pub keys: Vec<KeyShape>,
}

/// One key of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyShape {
    pub name: &'static str,
    pub about: String,
    pub shape: Shape,
    pub required: bool,
    /// As TOML, or in words.
    pub default: Option<&'static str>,
}
