//! Names of entries of other sections: written in one table, defined in another.

use super::reader::{Cx, Kind, Node, Read, Reference};
use super::shape::Shape;

/// The name of an entry of the section that `K` marks.
#[derive(Debug, Clone, PartialEq)]
pub struct EntryName<K>(pub String, std::marker::PhantomData<K>);

/// A section whose entries can be named.
pub trait Section {
    const NAME: &'static str;
}

macro_rules! sections {
    ($($Marker:ident $name:literal;)*) => {$(
        /// Marks the section of this name.
        #[derive(Debug, Clone, PartialEq)]
        pub struct $Marker;

        impl Section for $Marker {
            const NAME: &'static str = $name;
        }
    )*};
}

sections! {
    Auth "auth";
    Breaker "breakers";
    Color "colors";
    Discovery "discovery";
    Jwt "jwt";
    Limit "limits";
    Plugin "plugins";
}

impl<K: Section> Read for EntryName<K> {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let name = String::read(node, cx)?;
        let from = format!("`{}`", node.path);
        let kind = Kind::Entry(K::NAME);
        cx.refer(Reference {
            kind,
            name: name.clone(),
            spot: node.spot(),
            from,
        });
        Some(Self(name, std::marker::PhantomData))
    }

    fn shape() -> Shape {
        Shape::Text("name of an entry", "")
    }
}
