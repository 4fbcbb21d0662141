//! JSON whose objects have every member once.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value as Json};

/// How serde_json names a number whose spelling it keeps.
const NUMBER: &str = "$serde_json::private::Number";

/// Any JSON; refused when an object names a member twice.
pub(super) struct Unique(pub(super) Json);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Unique)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Json, E> {
        Ok(value.into())
    }

    // (whole numbers that fit; all others come by their spelling)
    fn visit_u64<E: Error>(self, number: u64) -> Result<Json, E> {
        Ok(number.into())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Json, E> {
        Ok(number.into())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Json, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(Unique(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if name == NUMBER && object.is_empty() {
                let number: Number = members
                    .next_value::<String>()?
                    .parse()
                    .map_err(A::Error::custom)?;
                return Ok(number.into());
            }
            let Unique(value) = members.next_value()?;
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("an object has a member twice"));
            }
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_stand_once_and_everything_else_is_kept() {
        let read = |text: &str| serde_json::from_str::<Unique>(text).map(|Unique(json)| json.to_string());
        for text in [
            "null",
            "true",
            r#"{"b":1.50,"a":[7,-5,0,1.0,18446744073709551615,-0,1e+400,12345678901234567890123,"x\n",{"b":null}],"c":{}}"#,
        ] {
            assert_eq!(read(text).ok().as_deref(), Some(text));
            assert_eq!(
                read(text).ok(),
                serde_json::from_str::<Json>(text)
                    .ok()
                    .map(|json| json.to_string())
            );
        }
        for text in [r#"{"a":1,"a":1}"#, r#"[{"x":{"a":1,"b":2,"\u0061":3}}]"#] {
            let refusal = read(text).expect_err(text).to_string();
            assert!(refusal.contains("twice"), "{refusal}");
        }
        assert!(read("[1").is_err() && read(&"[".repeat(1000)).is_err());
    }
}
