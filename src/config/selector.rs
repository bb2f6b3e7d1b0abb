//! Selectors: which value of a request a limit, a hash, a share, a token or a color is taken from.
//! One list holds every kind with its parser, its text and the uses that allow it. What a request
//! has of a selector is found in `routing/selector.rs`.

use super::reader::{Cx, Node, Read};
use super::shape::Shape;
use super::values::FromKey;
use http::HeaderName;
use std::marker::PhantomData;
use std::sync::LazyLock;

/// When the value of a selector is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// As soon as the head of the request is there.
    WithHead,
    /// Once the client is authenticated and the request has its color.
    WithIdentity,
}

/// A kind of selector: a row of [`KINDS`].
#[derive(Debug)]
pub struct SelectorKind {
    /// As it is written: `ip`, or `header` of `header:NAME`.
    word: &'static str,
    /// What stands behind the colon, for messages.
    argument: Option<&'static str>,
    about: &'static str,
    uses: &'static [Use],
    parse: fn(Option<&str>) -> Option<Selector>,
}

/// Every kind: `"word": argument => Variant(Type), Known, [uses];`. A kind without an argument
/// leaves out `: argument` and `(Type)`.
macro_rules! selectors {
    ($(
        $(#[doc = $about:literal])*
        $word:literal $(: $name:ident)? => $Variant:ident $(($Type:ty))?,
            $Known:ident, [$($Use:ident),* $(,)?];
    )*) => {
        /// Which value of a request is meant.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Selector { $($(#[doc = $about])* $Variant $(($Type))?,)* }

        /// Every kind of selector, in the order of messages and of the reference.
        pub const KINDS: &[SelectorKind] = &[$(SelectorKind {
            word: $word,
            argument: selectors!(@name $($name)?),
            about: concat!($($about),*),
            uses: &[$(Use::$Use),*],
            parse: |text| selectors!(@parse text, $Variant $(, $Type)?),
        }),*];

        impl Selector {
            /// Returns when its value is known.
            pub const fn known(&self) -> Known {
                match self { $(Self::$Variant { .. } => Known::$Known,)* }
            }

            /// Returns what stands behind the colon: the name of a header, a cookie, a claim.
            pub fn argument(&self) -> Option<&str> {
                match self {
                    $(Self::$Variant $(($name))? => selectors!(@text $($name)?),)*
                }
            }

            const fn word(&self) -> &'static str {
                match self { $(Self::$Variant { .. } => $word,)* }
            }
        }
    };
    (@name) => { None };
    (@name $name:ident) => { Some(stringify!($name)) };
    (@parse $text:ident, $Variant:ident) => {
        $text.is_none().then_some(Selector::$Variant)
    };
    (@parse $text:ident, $Variant:ident, $Type:ty) => {
        <$Type as FromKey>::from_key($text?).map(Selector::$Variant)
    };
    (@text) => { None };
    (@text $name:ident) => { Some($name.as_ref()) };
}

selectors! {
    /// The client's address; of IPv6, its /64.
    "ip" => Ip, WithHead, [LimitKey, HashKey, ShareKey];
    /// The name of the route.
    "route" => Route, WithHead, [LimitKey, HashKey];
    /// The name of the color, once the request has one.
    "color" => Color, WithIdentity, [LimitKey, HashKey];
    /// The header that `coloring.header` names.
    "header" => ColorHeader, WithHead, [ColorSource];
    /// A header.
    "header": name => Header(HeaderName), WithHead, [LimitKey, HashKey, ShareKey, TokenPlace];
    /// A cookie.
    "cookie": name => Cookie(String), WithHead,
        [LimitKey, HashKey, ShareKey, TokenPlace, ColorSource];
    /// A key of the query, decoded.
    "query": key => Query(String), WithHead, [TokenPlace, ColorSource];
    /// A member of the W3C `baggage` header, decoded.
    "baggage": key => Baggage(String), WithHead, [ColorSource];
    /// A claim of the client's identity, such as `sub`.
    "jwt": claim => Claim(String), WithIdentity, [LimitKey, HashKey, ShareKey, ColorSource];
}

/// The uses of selectors: `"what it is" => Use;`. Each has a type that marks it in tables.
macro_rules! uses {
    ($($what:literal => $Use:ident;)*) => {
        /// What a selector is written for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Use { $(#[doc = $what] $Use,)* }

        impl Use {
            /// All uses.
            pub const ALL: &[Self] = &[$(Self::$Use),*];

            /// Returns what it is, with its article.
            pub const fn what(self) -> &'static str {
                match self { $(Self::$Use => $what,)* }
            }
        }

        $(
            #[doc = concat!("Marks ", $what, ".")]
            #[derive(Debug, Clone, PartialEq, Eq)]
            pub struct $Use;

            impl Marker for $Use {
                const USE: Use = Use::$Use;

                fn forms() -> &'static Forms {
                    static FORMS: LazyLock<Forms> = LazyLock::new(|| Forms::of(Use::$Use));
                    &FORMS
                }
            }
        )*
    };
}

uses! {
    "the key of a limit" => LimitKey;
    "the key of a hashing balancer" => HashKey;
    "the key of a share" => ShareKey;
    "the place of a token" => TokenPlace;
    "the source of a color" => ColorSource;
}

/// A type that marks a use.
pub trait Marker {
    /// The use that it marks.
    const USE: Use;

    /// Returns what may be written there.
    fn forms() -> &'static Forms;
}

/// What may be written for a use.
#[derive(Debug)]
pub struct Forms {
    /// In words, for messages and the reference.
    words: String,
    /// As a pattern, for the schema.
    pattern: String,
}

impl Forms {
    fn of(wanted: Use) -> Self {
        let kinds = KINDS.iter().filter(|kind| kind.is_for(wanted));
        let (forms, patterns): (Vec<String>, Vec<String>) = kinds
            .map(|kind| (format!("`{}`", kind.form()), kind.pattern()))
            .unzip();
        let words = match forms.split_last() {
            Some((last, before)) if !before.is_empty() => {
                format!("{} or {last}", before.join(", "))
            }
            _ => forms.concat(),
        };
        let pattern = format!("^({})$", patterns.join("|"));
        Self { words, pattern }
    }
}

impl SelectorKind {
    /// Returns how it is written: `ip`, `header:NAME`.
    pub fn form(&self) -> String {
        match self.argument {
            Some(argument) => format!("{}:{}", self.word, argument.to_uppercase()),
            None => self.word.to_owned(),
        }
    }

    fn pattern(&self) -> String {
        let any = self.argument.map_or("", |_| ":.+");
        format!("{}{any}", self.word)
    }

    /// Returns what it selects.
    pub fn about(&self) -> &'static str {
        self.about.trim()
    }

    /// Returns whether a use allows it.
    pub fn is_for(&self, wanted: Use) -> bool {
        self.uses.contains(&wanted)
    }

    /// Reads a selector of any kind. `None`: the text is none.
    pub fn parse(text: &str) -> Option<(&'static Self, Selector)> {
        let (word, argument) = match text.split_once(':') {
            Some((word, argument)) => (word, Some(argument)),
            None => (text, None),
        };
        let fits =
            |kind: &&Self| kind.word == word && kind.argument.is_some() == argument.is_some();
        let kind = KINDS.iter().find(fits)?;
        Some((kind, (kind.parse)(argument)?))
    }
}

impl Selector {
    /// Returns the header that it reads, if it reads one.
    pub const fn header(&self) -> Option<&HeaderName> {
        match self {
            Self::Header(name) => Some(name),
            _ => None,
        }
    }

    /// Returns the claim that it reads, if it reads one.
    pub fn claim(&self) -> Option<&str> {
        match self {
            Self::Claim(claim) => Some(claim),
            _ => None,
        }
    }
}

impl std::fmt::Display for Selector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())?;
        match self.argument() {
            Some(argument) => write!(f, ":{argument}"),
            None => Ok(()),
        }
    }
}

/// A selector of a kind that the use `U` allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectorFor<U>(Selector, PhantomData<U>);

impl<U> SelectorFor<U> {
    /// Takes a selector as one for this use.
    pub const fn new(selector: Selector) -> Self {
        Self(selector, PhantomData)
    }
}

impl<U> std::ops::Deref for SelectorFor<U> {
    type Target = Selector;

    fn deref(&self) -> &Selector {
        &self.0
    }
}

impl<U> std::fmt::Display for SelectorFor<U> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl<U: Marker> Read for SelectorFor<U> {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let text = String::read(node, cx)?;
        let allowed = &U::forms().words;
        let quoted = node.quoted(&text);
        let message = match SelectorKind::parse(&text) {
            Some((kind, selector)) if kind.is_for(U::USE) => return Some(Self::new(selector)),
            Some(_) => format!("`{quoted}` cannot be {}", U::USE.what()),
            None => format!("`{quoted}` is not {allowed}"),
        };
        node.invalid(cx, message, format!("expected {allowed}"));
        None
    }

    fn shape() -> Shape {
        let forms = U::forms();
        Shape::Text(&forms.words, &forms.pattern)
    }
}

#[cfg(test)]
#[path = "selector_tests.rs"]
mod tests;
