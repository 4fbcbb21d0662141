//! The order of a list, and the place of a row in it.
//!
//! A place is the row's sort values, `id` last. What lies beyond a place is a condition over the same expressions (keyset
//! paging): unlike `offset` it costs the same on every page, and rows that come or go do not shift it.

use pgrx::datum::{Date, DatumWithOid, TimestampWithTimeZone};
use snackbase_core::names::quote;
use snackbase_core::rules::Kind;
use snackbase_core::schema::{FieldType, SYSTEM_FIELDS};

use super::uuid_value;
use crate::collections::{Access, Collection, kind, mask_of, sees_masks, value_expression};
use crate::error::Error;
use crate::guc;
use crate::spi::{self, Row};

/// One sort value of a row, as text; `None` is NULL.
pub type Place = Vec<Option<String>>;

struct Key {
    name: String,
    expression: String,
    kind: Kind,
    descending: bool,
    nullable: bool,
}

/// The keys of an order. One of them is `id`, which makes it total.
pub struct Order(Vec<Key>);

impl Order {
    /// Reads a comma list of keys: `-f` descends, `f` and `+f` ascend (a leading space is a `+` that was not encoded).
    /// Keys the caller cannot read are ignored, the default is newest first, and `id` follows in the direction of the last key.
    ///
    /// # Errors
    /// [`Error::Query`] for a field whose values the caller sees masked: their order would tell what the mask hides.
    pub fn read(collection: &Collection, access: Access<'_>, sort: Option<&str>) -> Result<Order, Error> {
        let mut keys: Vec<Key> = Vec::new();
        let mut last_descends = true;
        for key in sort.unwrap_or_default().split(',') {
            let (name, descending) = match key.strip_prefix('-') {
                Some(name) => (name.trim(), true),
                None if key.starts_with(['+', ' ']) => (key.trim_start_matches(['+', ' ']).trim(), false),
                None => (key.trim(), guc::sorts_bare_names_descending()),
            };
            if let Some(key) = sort_key(collection, access, name, descending)? {
                last_descends = descending;
                if !keys.iter().any(|other| other.name == key.name) {
                    keys.push(key);
                }
            }
        }
        if keys.is_empty() {
            keys.push(system_key(collection, "created_at", true));
        }
        if !keys.iter().any(|key| key.name == "id") {
            keys.push(system_key(collection, "id", last_descends));
        }
        Ok(Order(keys))
    }

    /// One spelling for all requests that mean this order.
    pub fn spelling(&self) -> String {
        let keys = self.0.iter();
        keys.map(|key| format!("{}{}", if key.descending { '-' } else { '+' }, key.name))
            .collect::<Vec<_>>()
            .join(",")
    }

    /// `order by …`, the other way round when `backward`. NULL is the greatest value, as PostgreSQL has it by default.
    ///
    /// `sorted`: the rows are to be found first and sorted then, not read in the order of an index. The planner does not know how
    /// few rows a fixed beginning leaves (its statistics are of another collation) and would read the whole
    /// account in the order of the list; `greatest` of one value is that value, and no index has it.
    pub fn sql(&self, backward: bool, sorted: bool) -> String {
        let keys = self.0.iter().map(|key| {
            let direction = if key.descending == backward { "asc" } else { "desc" };
            match sorted {
                true => format!("greatest({}) {direction}", key.expression),
                false => format!("{} {direction}", key.expression),
            }
        });
        format!("order by {}", keys.collect::<Vec<_>>().join(", "))
    }

    /// The columns that [`Order::place`] reads, to be selected after others: each with a comma before it.
    pub fn columns(&self) -> String {
        let columns = self.0.iter().map(|key| match key.kind {
            Kind::Uuid => format!(", {}::text", key.expression),
            _ => format!(", {}", key.expression),
        });
        columns.collect()
    }

    /// The place of a row whose column `first` is the first of [`Order::columns`].
    ///
    /// # Errors
    /// [`Error::Spi`] when the columns are others, which is a defect of the caller.
    pub fn place(&self, row: &Row<'_>, first: usize) -> Result<Place, Error> {
        let values = self.0.iter().enumerate().map(|(index, key)| {
            let column = first + index;
            Ok(match key.kind {
                Kind::Number => row.get::<f64>(column)?.map(|number| number.to_string()),
                Kind::Boolean => row.get::<bool>(column)?.map(|value| value.to_string()),
                // Raw numbers: they hold every instant and every day, whatever the session's DateStyle.
                Kind::Datetime => row
                    .get::<TimestampWithTimeZone>(column)?
                    .map(|instant| i64::from(instant).to_string()),
                Kind::Date => row
                    .get::<Date>(column)?
                    .map(|day| day.to_pg_epoch_days().to_string()),
                Kind::Text | Kind::Uuid | Kind::Json | Kind::File => row.get::<String>(column)?,
            })
        });
        values.collect()
    }

    /// The condition for rows beyond a place, in the order's direction or `backward`, and its values, numbered from
    /// `first`. `None` when the place is none of this order.
    pub fn beyond(
        &self,
        place: &Place,
        backward: bool,
        first: usize,
    ) -> Option<(String, Vec<DatumWithOid<'static>>)> {
        if place.len() != self.0.len() {
            return None;
        }
        let mut values: Vec<DatumWithOid<'static>> = Vec::new();
        // Per key: the parameter, or none for NULL.
        let mut parameters: Vec<Option<String>> = Vec::new();
        for (key, value) in self.0.iter().zip(place) {
            let Some(text) = value else {
                parameters.push(None);
                continue;
            };
            parameters.push(Some(format!("${}", first + values.len())));
            values.push(match key.kind {
                Kind::Number => text.parse::<f64>().ok()?.into(),
                Kind::Boolean => text.parse::<bool>().ok()?.into(),
                Kind::Datetime => spi::instant(text.parse().ok()?),
                Kind::Date => spi::day(text.parse().ok()?),
                Kind::Uuid => uuid_value(text)?.into(),
                Kind::Text | Kind::Json | Kind::File => text.clone().into(),
            });
        }
        Some((self.beyond_parameters(&parameters, backward), values))
    }

    fn beyond_parameters(&self, parameters: &[Option<String>], backward: bool) -> String {
        let one_way = self.0.iter().all(|key| key.descending == self.0[0].descending);
        if one_way && self.0.iter().all(|key| !key.nullable) {
            // One comparison of rows is an index condition; the alternatives below are not.
            let join = |parts: Vec<&str>| parts.join(", ");
            return format!(
                "({}) {} ({})",
                join(self.0.iter().map(|key| key.expression.as_str()).collect()),
                if self.0[0].descending == backward {
                    ">"
                } else {
                    "<"
                },
                join(
                    parameters
                        .iter()
                        .map(|parameter| parameter.as_deref().unwrap_or("null"))
                        .collect()
                ),
            );
        }
        let mut alternatives = Vec::new();
        let mut equal = String::new();
        for (key, parameter) in self.0.iter().zip(parameters) {
            let expression = &key.expression;
            let greater = key.descending == backward;
            let beyond = match (parameter, greater) {
                (Some(value), true) if key.nullable => {
                    format!("({expression} > {value} or {expression} is null)")
                }
                (Some(value), true) => format!("{expression} > {value}"),
                (Some(value), false) => format!("{expression} < {value}"),
                // Nothing is greater than NULL, everything else is less.
                (None, true) => "false".to_owned(),
                (None, false) => format!("{expression} is not null"),
            };
            alternatives.push(format!("({equal}{beyond})"));
            equal.push_str(&match parameter {
                Some(value) => format!("{expression} = {value} and "),
                None => format!("{expression} is null and "),
            });
        }
        format!("({})", alternatives.join(" or "))
    }
}

fn system_key(collection: &Collection, name: &str, descending: bool) -> Key {
    let kind = match name {
        "id" | "account_id" => Kind::Uuid,
        "created_at" | "updated_at" => Kind::Datetime,
        _ => Kind::Text,
    };
    Key {
        name: name.to_owned(),
        expression: format!("{}.{}", quote(&collection.table), quote(name)),
        kind,
        descending,
        nullable: false,
    }
}

fn sort_key(
    collection: &Collection,
    access: Access<'_>,
    name: &str,
    descending: bool,
) -> Result<Option<Key>, Error> {
    if SYSTEM_FIELDS.contains(&name) {
        return Ok(Some(system_key(collection, name, descending)));
    }
    let field = collection
        .definition
        .field(name)
        .filter(|field| access.allows(collection, field));
    let Some(field) = field else { return Ok(None) };
    if field.encrypted || (mask_of(collection, field).is_some() && sees_masks(collection, access)?) {
        return Err(Error::Query {
            title: "Invalid query",
            message: format!("Records cannot be sorted by '{name}': its values are hidden"),
        });
    }
    if matches!(field.field_type, FieldType::Json | FieldType::File) {
        return Ok(None);
    }
    Ok(Some(Key {
        name: name.to_owned(),
        expression: value_expression(collection, field)?,
        kind: kind(field.return_type.unwrap_or(field.field_type)),
        descending,
        nullable: !(field.required && field.is_stored()),
    }))
}
