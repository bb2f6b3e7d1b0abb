//! The two ways in which the format is described, each of which is struct, parser, schema and
//! reference at the same time: tables with known keys, and sets of words.

/// What a key is about, and by which rule.
pub fn about(doc: &str, rule: Option<String>) -> String {
    let doc = doc.trim();
    rule.map_or_else(|| doc.to_owned(), |rule| format!("{doc} {rule}"))
}

/// A table whose keys are known: the struct, how it is read, and what it looks like.
///
/// Each field is `"key" => field: Type = how`, where `how` is `required`, `none` (for `Option`),
/// `none "what its absence means"`, or `(expression) "as TOML"` for a default. With `within RULE`
/// behind it, what is written must also hold against that [`Rule`](super::rule::Rule).
#[macro_export]
macro_rules! table {
    (
        $(#[doc = $about:literal])*
        pub struct $Struct:ident {
            $(
                $(#[doc = $doc:literal])*
                $key:literal => $field:ident : $type:ty = $how:tt $($text:literal)? $(within $rule:expr)?
            ),* $(,)?
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $Struct {
            $($(#[doc = $doc])* pub $field: $type,)*
        }

        impl $crate::config::reader::Read for $Struct {
            fn read(
                node: &$crate::config::reader::Node,
                cx: &$crate::config::reader::Cx,
            ) -> Option<Self> {
                let mut table = node.table(cx)?;
                $($(table.expect($key, $crate::config::rule::Rule::<$type>::limits(&$rule));)?)*
                $(
                    let $field = $crate::table!(@read table, cx, $key, $type, $how);
                    $(let $field = table.held::<$type>($key, $field, &$rule, cx);)?
                )*
                table.finish(cx, <Self as $crate::config::reader::Read>::shape);
                Some(Self { $($field: $field?,)* })
            }

            fn shape() -> $crate::config::shape::Shape {
                $crate::config::shape::Shape::Table($crate::config::shape::TableShape {
                    about: [$($about),*].concat().trim().to_owned(),
                    keys: vec![$($crate::config::shape::KeyShape {
                        name: $key,
                        about: $crate::table!(@about [$($doc),*], $type $(, $rule)?),
                        shape: $crate::table!(@shape $type, $how $(, $rule)?),
                        required: $crate::table!(@required $how),
                        default: $crate::table!(@default $($text)?),
                    }),*],
                })
            }
        }
    };
    (@read $table:ident, $cx:ident, $key:literal, $type:ty, required) => {
        $table.required::<$type>($key, $cx)
    };
    (@read $table:ident, $cx:ident, $key:literal, $type:ty, none) => {
        $table.optional($key, $cx).ok()
    };
    (@read $table:ident, $cx:ident, $key:literal, $type:ty, $default:expr) => {
        $table.optional::<$type>($key, $cx).ok().map(|value| value.unwrap_or_else(|| $default))
    };
    (@about [$($doc:literal),*], $type:ty) => { [$($doc),*].concat().trim().to_owned() };
    (@about [$($doc:literal),*], $type:ty, $rule:expr) => {
        $crate::config::table::about(
            &[$($doc),*].concat(),
            $crate::config::rule::Rule::<$type>::words(&$rule),
        )
    };
    (@shape $type:ty, $how:tt) => { <$type as $crate::config::reader::Read>::shape() };
    (@shape $type:ty, $how:tt, $rule:expr) => {
        $crate::config::rule::Rule::<$type>::narrow(
            &$rule,
            <$type as $crate::config::reader::Read>::shape(),
        )
    };
    (@required required) => { true };
    (@required $other:tt) => { false };
    (@default $text:literal) => { Some($text) };
    (@default) => { None };
}

/// A fixed set of words, each with its meaning; words marked `later` are not supported yet.
#[macro_export]
macro_rules! words {
    (
        $(#[doc = $about:literal])*
        pub enum $Enum:ident {
            $($(#[doc = $doc:literal])* $word:literal => $Variant:ident,)*
            $(later { $($later:literal),* $(,)? })?
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $Enum { $($(#[doc = $doc])* $Variant,)* }

        impl std::fmt::Display for $Enum {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str(match self { $(Self::$Variant => $word,)* })
            }
        }

        impl $crate::config::reader::Read for $Enum {
            fn read(
                node: &$crate::config::reader::Node,
                cx: &$crate::config::reader::Cx,
            ) -> Option<Self> {
                let text = String::read(node, cx)?;
                let later: &[&str] = &[$($($later),*)?];
                match text.as_str() {
                    $($word => Some(Self::$Variant),)*
                    word if later.contains(&word) => {
                        let what = format!("`{} = \"{word}\"`", node.path);
                        $crate::config::reader::not_yet(cx, &node.spot(), &what);
                        None
                    }
                    wrong => {
                        $crate::config::values::not_a_word(node, cx, wrong, &[$($word),*]);
                        None
                    }
                }
            }

            fn shape() -> $crate::config::shape::Shape {
                $crate::config::shape::Shape::Words(vec![$($word),*])
            }
        }
    };
}
