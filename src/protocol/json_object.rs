//! JSON objects as requests send them (RFC 8259 §4): no name stands twice in one object, however deep, since two readers would each
//! believe another one of the two.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// The members of a text that is one JSON object, nothing behind it, without repeated names.
pub(crate) fn parse(json: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_slice(json) {
        Ok(Unrepeated(Value::Object(members))) => Some(members),
        Ok(_) | Err(_) => None,
    }
}

/// A value in which no object repeats a name.
struct Unrepeated(Value);

impl<'de> Deserialize<'de> for Unrepeated {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Values).map(Self)
    }
}

struct Values;

impl<'de> Visitor<'de> for Values {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without repeated names")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Unrepeated(value)) = seq.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some((name, Unrepeated(value))) = map.next_entry()? {
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a name is repeated"));
            }
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    // req: http-json-1
    #[test]
    fn http_json_1_a_name_stands_once_in_its_object_however_deep() {
        for json in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":null,"\u0061":null}"#,
            r#"{"x":{"a":1,"a":2}}"#,
            r#"{"x":[1,{"y":[{"a":{},"b":0,"a":{}}]}]}"#,
        ] {
            assert!(parse(json.as_bytes()).is_none(), "{json}");
        }
        for json in [
            r#"{"a":{"a":[{"a":1},{"a":2}]},"b":{"a":1}}"#,
            r#"{"n":null,"t":[true,false],"i":[0,-1,18446744073709551615],"f":[0.5,1e300],"s":["","\u00e9\n"]}"#,
        ] {
            let members = parse(json.as_bytes()).unwrap();
            assert_eq!(
                serde_json::from_str::<serde_json::Value>(json).unwrap(),
                serde_json::Value::Object(members)
            );
        }
    }

    #[test]
    fn http_json_1_it_is_one_object_and_not_too_deep() {
        for json in ["", "[]", "null", "{", "{} x", "{}{}", "{\"a\":\"\u{0}\"}"] {
            assert!(parse(json.as_bytes()).is_none(), "{json}");
        }
        assert!(parse(b"{\"a\":\"\xff\"}").is_none());
        let deep = |depth| format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
        assert!(parse(deep(100).as_bytes()).is_some());
        assert!(parse(deep(10_000).as_bytes()).is_none());
    }
}
