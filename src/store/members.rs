//! The names of a record's members, as its type declares them.

use serde::de::value::Error;
use serde::de::{Deserialize, Deserializer, Error as _, Visitor};

/// The members that a structure reads; none for what is no structure.
pub(crate) fn members<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let mut found: &'static [&'static str] = &[];
    // It never succeeds: all that is wanted is what the type says of itself before it reads anything.
    let _ = T::deserialize(Declared(&mut found));
    found
}

struct Declared<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Declared<'_> {
    type Error = Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        *self.0 = fields;
        Err(Error::custom("only the names are wanted"))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("no structure"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq tuple
        tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::members;
    use crate::types::record::{ClientRecord, SubjectEpoch};

    #[test]
    fn a_structure_says_what_it_reads_through_wrappers_too() {
        assert_eq!(members::<SubjectEpoch>()[..2], ["epoch", "removals"]);
        assert!(members::<ClientRecord>().contains(&"redirect_uris"));
        assert!(members::<String>().is_empty());
    }
}
