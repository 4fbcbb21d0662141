//! What of a collection a caller can read, and how it goes on the wire.

use snackbase_core::names;
use snackbase_core::rules::{self, Kind};
use snackbase_core::schema::{Field, FieldList, FieldType, Index, MaskType};

use super::Collection;
use crate::context;
use crate::error::Error;
use crate::json::{Form, Member};

/// Which columns a caller can read.
#[derive(Debug, Clone, Copy)]
pub enum Access<'a> {
    /// Superadmins: every column, in clear.
    Everything,
    /// The system columns and the fields of a list.
    Listed(&'a FieldList),
}

impl Access<'_> {
    /// Whether a field can be read. A computed field can when all it is computed from can, too: its value is made of
    /// theirs, and the operation role has no grant on a column outside the list.
    pub fn allows(self, collection: &Collection, field: &Field) -> bool {
        let list = match self {
            Access::Everything => return true,
            Access::Listed(list) => list,
        };
        list.allows(&field.name) && sources(collection, field).all(|source| list.allows(&source.name))
    }
}

/// The mask of a field's values. What is computed from personal data is personal data (contract `collections.md` §5).
pub fn mask_of(collection: &Collection, field: &Field) -> Option<MaskType> {
    let inherited = || {
        sources(collection, field)
            .any(|source| source.pii)
            .then_some(MaskType::Full)
    };
    field.mask().or_else(inherited)
}

/// The fields that a computed field is computed from; none for a stored one.
fn sources<'a>(collection: &'a Collection, field: &Field) -> impl Iterator<Item = &'a Field> {
    let source = field.expression.as_deref().unwrap_or_default();
    let expression = if field.is_stored() {
        None
    } else {
        rules::parse(source).ok()
    };
    let names: Vec<String> = expression
        .iter()
        .flat_map(|expr| expr.names())
        .map(str::to_owned)
        .collect();
    names
        .into_iter()
        .filter_map(|name| collection.definition.field(&name))
}

/// One readable column: what to select and how to show it.
#[derive(Debug, Clone)]
pub struct Readable {
    /// The field's name.
    pub name: String,
    /// An expression over the collection's table.
    pub expression: String,
    /// The member of the record object.
    pub member: Member,
}

/// The columns of a record object, in the order of the wire: id, account, fields, stamps.
///
/// # Errors
/// [`Error::Internal`] when a stored computed field no longer compiles.
pub fn readable_columns(collection: &Collection, access: Access<'_>) -> Result<Vec<Readable>, Error> {
    let table = names::quote(&collection.table);
    let system = |name: &str, form: Form| {
        let column = format!("{table}.{}", names::quote(name));
        let expression = if name.ends_with("id") {
            format!("{column}::text")
        } else {
            column
        };
        Readable {
            name: name.to_owned(),
            expression,
            member: Member::new(name, form),
        }
    };
    let mut columns = vec![system("id", Form::Text), system("account_id", Form::Text)];
    for field in collection
        .definition
        .fields
        .iter()
        .filter(|field| access.allows(collection, field))
    {
        columns.push(readable_field(collection, field, access)?);
    }
    columns.extend([
        system("created_at", Form::Timestamp),
        system("updated_at", Form::Timestamp),
        system("created_by", Form::Text),
        system("updated_by", Form::Text),
    ]);
    Ok(columns)
}

fn readable_field(collection: &Collection, field: &Field, access: Access<'_>) -> Result<Readable, Error> {
    let value = value_expression(collection, field)?;
    let masked = match (mask_of(collection, field), access) {
        (Some(mask), Access::Listed(_)) => Some(mask),
        _ => None,
    };
    let (expression, form) = if let Some(mask) = masked {
        let expression = format!(
            "case when (select snackbase.sees_pii()) then to_jsonb({value})::text \
             else to_jsonb(snackbase.mask({}, {value}::text))::text end",
            names::quote_literal(mask.name())
        );
        (expression, Form::Raw)
    } else {
        let form = form(field.return_type.unwrap_or(field.field_type));
        let expression = match field.field_type {
            FieldType::Reference | FieldType::User | FieldType::Json | FieldType::File => {
                format!("{value}::text")
            }
            // to_char() makes a timestamp of it first, which has fewer years. Whatever DateStyle says, JSON dates are ISO.
            FieldType::Date => format!(
                "case when {value} between '0001-01-01' and '9999-12-31' then to_char({value}, 'YYYY-MM-DD') \
                 else to_json({value}) #>> '{{}}' end"
            ),
            _ => value,
        };
        (expression, form)
    };
    Ok(Readable {
        name: field.name.clone(),
        expression,
        member: Member::new(&field.name, form),
    })
}

/// The stored column, or the compiled expression of a computed field.
pub fn value_expression(collection: &Collection, field: &Field) -> Result<String, Error> {
    if field.is_stored() {
        return Ok(format!(
            "{}.{}",
            names::quote(&collection.table),
            names::quote(&field.name)
        ));
    }
    let source = field.expression.as_deref().unwrap_or_default();
    let kind = kind(field.return_type.unwrap_or(FieldType::Text));
    rules::compile_computed(source, &rule_schema(collection, Access::Everything, false), kind)
        .map(|sql| format!("({sql})"))
        .map_err(|errors| Error::Internal(format!("{}: {}", field.name, rules::summary(&errors))))
}

/// Whether the caller sees masks instead of the values of fields that have one.
///
/// # Errors
/// [`Error::Spi`] when the caller's groups cannot be looked up.
pub fn sees_masks(collection: &Collection, access: Access<'_>) -> Result<bool, Error> {
    let has_masks = || collection.definition.fields.iter().any(|field| field.pii);
    Ok(matches!(access, Access::Listed(_)) && has_masks() && !context::caller_sees_pii()?)
}

/// The columns that a rule (everything) or a filter (what the caller can read) may name. `masked`: the author sees masks.
pub fn rule_schema(collection: &Collection, access: Access<'_>, masked: bool) -> rules::Schema {
    let mut columns = rules::Schema::system_columns();
    columns.extend(
        collection
            .definition
            .fields
            .iter()
            .filter(|field| access.allows(collection, field))
            .map(|field| match field.field_type {
                FieldType::Computed => rules::Column::computed(
                    &field.name,
                    kind(field.return_type.unwrap_or(FieldType::Text)),
                    field.expression.as_deref().unwrap_or_default(),
                ),
                field_type if field.encrypted => rules::Column::encrypted(&field.name, kind(field_type)),
                field_type => rules::Column::new(&field.name, kind(field_type))
                    .with_prefix_index(field.index() == Some(Index::Prefix)),
            })
            .map(|column| {
                let field = collection.definition.field(&column.name).filter(|_| masked);
                let masked = field.is_some_and(|field| mask_of(collection, field).is_some());
                column.with_mask(masked)
            }),
    );
    rules::Schema::new(&collection.table, columns)
}

/// The type a field has in rules.
pub fn kind(field_type: FieldType) -> Kind {
    match field_type {
        FieldType::Text | FieldType::Email | FieldType::Url | FieldType::Computed => Kind::Text,
        FieldType::Number => Kind::Number,
        FieldType::Boolean => Kind::Boolean,
        FieldType::Datetime => Kind::Datetime,
        FieldType::Date => Kind::Date,
        FieldType::Json => Kind::Json,
        FieldType::Reference | FieldType::User => Kind::Uuid,
        FieldType::File => Kind::File,
    }
}

fn form(field_type: FieldType) -> Form {
    match field_type {
        FieldType::Number => Form::Number,
        FieldType::Boolean => Form::Boolean,
        FieldType::Datetime => Form::Timestamp,
        FieldType::Json => Form::Raw,
        // A file goes out as JSON text inside a string: clients parse it (contract records.md §2).
        _ => Form::Text,
    }
}
