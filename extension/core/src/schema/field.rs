//! Fields: what the thirteen keys of a field definition mean.

use serde_json::{Map, Value as Json};

use super::{DefinitionError, read};

/// What a field holds. The only list of field types: names, SQL types and groups are decided here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FieldType {
    /// Any text.
    Text,
    /// A finite double precision number.
    Number,
    /// True or false.
    Boolean,
    /// A moment, kept in UTC.
    Datetime,
    /// A calendar day.
    Date,
    /// Text with the form of an e-mail address.
    Email,
    /// Text with the form of an http address.
    Url,
    /// Any JSON value.
    Json,
    /// The id of a record of the same account in another collection.
    Reference,
    /// The id of a user of the same account.
    User,
    /// Metadata of an uploaded file.
    File,
    /// Derived from other fields when read; has no column.
    Computed,
}

impl FieldType {
    /// Every type, in the order of the contract.
    pub const ALL: [Self; 12] = [
        Self::Text,
        Self::Number,
        Self::Boolean,
        Self::Datetime,
        Self::Date,
        Self::Email,
        Self::Url,
        Self::Json,
        Self::Reference,
        Self::User,
        Self::File,
        Self::Computed,
    ];

    /// The table of types: wire name and column type.
    const fn row(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Text => ("text", Some("text")),
            Self::Number => ("number", Some("double precision")),
            Self::Boolean => ("boolean", Some("boolean")),
            Self::Datetime => ("datetime", Some("timestamptz")),
            Self::Date => ("date", Some("date")),
            Self::Email => ("email", Some("text")),
            Self::Url => ("url", Some("text")),
            Self::Json => ("json", Some("jsonb")),
            Self::Reference => ("reference", Some("uuid")),
            Self::User => ("user", Some("uuid")),
            Self::File => ("file", Some("jsonb")),
            Self::Computed => ("computed", None),
        }
    }

    /// The name on the wire, lower case.
    pub const fn name(self) -> &'static str {
        self.row().0
    }

    /// The type of the column, as written in DDL; `None` for computed fields, which have no column.
    pub const fn sql_type(self) -> Option<&'static str> {
        self.row().1
    }

    /// The type with this wire name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|t| t.name().eq_ignore_ascii_case(name))
    }

    /// Whether values are kept as SQL `text`.
    pub const fn text_like(self) -> bool {
        matches!(self, Self::Text | Self::Email | Self::Url)
    }

    /// Whether values are ids of other rows: a foreign key and an index belong to the column.
    pub const fn is_reference(self) -> bool {
        matches!(self, Self::Reference | Self::User)
    }

    /// Whether a computed field may have this type as its result.
    pub const fn is_return_type(self) -> bool {
        matches!(self, Self::Text | Self::Number | Self::Boolean | Self::Datetime)
    }
}

/// What happens to a referring record when its target is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnDelete {
    /// It is deleted too.
    Cascade,
    /// The reference becomes null.
    SetNull,
    /// The target cannot be deleted.
    Restrict,
}

impl OnDelete {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cascade => "cascade",
            Self::SetNull => "set_null",
            Self::Restrict => "restrict",
        }
    }

    /// The action with this wire name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Cascade, Self::SetNull, Self::Restrict]
            .into_iter()
            .find(|a| a.name().eq_ignore_ascii_case(name))
    }
}

/// An index of a column, beside those that belong to its constraints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Index {
    /// In the order of the type: for equality, ranges and sorting.
    Plain,
    /// In the order of bytes (collation C), in which the texts that begin alike stand together.
    Prefix,
}

impl Index {
    /// The index that a value of `options.index` asks for: `true` or `"prefix"`; false and null ask for none.
    ///
    /// # Errors
    /// For everything else: what is allowed.
    pub fn from_hint(hint: &Json) -> Result<Option<Self>, &'static str> {
        match hint {
            Json::Null | Json::Bool(false) => Ok(None),
            Json::Bool(true) => Ok(Some(Self::Plain)),
            Json::String(text) if text == "prefix" => Ok(Some(Self::Prefix)),
            _ => Err("An index is true or \"prefix\""),
        }
    }
}

/// What the audit trail keeps of the values of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WriteMask {
    /// The values.
    None,
    /// That there was a value: `***`.
    Redact,
    /// A hash of the value, by which equal values are recognised.
    Hash,
    /// Nothing, not even that it changed.
    Skip,
}

impl WriteMask {
    /// The name on the wire and in the registry.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Redact => "redact",
            Self::Hash => "hash",
            Self::Skip => "skip",
        }
    }

    /// The mask with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::None, Self::Redact, Self::Hash, Self::Skip]
            .into_iter()
            .find(|mask| mask.name() == name)
    }

    /// What is kept of a column when nobody has said so: of one whose name sounds like a secret, nothing but that it
    /// changed. Source: audit contract §1.3.
    pub fn by_name(column: &str) -> Self {
        let column = column.to_ascii_lowercase();
        let secret = ["token", "secret", "password", "key_hash", "private"];
        if secret.iter().any(|word| column.contains(word)) || column == "code_verifier" {
            Self::Redact
        } else {
            Self::None
        }
    }
}

/// How a field with personal data is shown to those who may not see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MaskType {
    /// First character and domain.
    Email,
    /// No digits.
    Ssn,
    /// Country prefix and last four digits.
    Phone,
    /// First character of each word.
    Name,
    /// Nothing but the length.
    Full,
    /// As `Full`; kept apart because the wire has both.
    Custom,
}

impl MaskType {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Ssn => "ssn",
            Self::Phone => "phone",
            Self::Name => "name",
            Self::Full => "full",
            Self::Custom => "custom",
        }
    }

    /// The mask with this wire name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        [
            Self::Email,
            Self::Ssn,
            Self::Phone,
            Self::Name,
            Self::Full,
            Self::Custom,
        ]
        .into_iter()
        .find(|m| m.name().eq_ignore_ascii_case(name))
    }
}

/// One field of a collection. Properties that mean nothing for the type (`on_delete` of a text) are dropped when read.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// The key in records and the name of the column: a plain name, at most 63 bytes.
    pub name: String,
    /// What it holds.
    pub field_type: FieldType,
    /// Null is refused, and so is a body of POST or PUT without the key, default or not.
    pub required: bool,
    /// The value of an omitted key; never JSON null. Fits the type.
    pub default: Option<Json>,
    /// No two records of one account have the same value; nulls are distinct.
    pub unique: bool,
    /// An object or array of the client's own, returned exactly as sent.
    pub options: Option<Json>,
    /// Reference: the name of the target collection, as the client wrote it.
    pub collection: Option<String>,
    /// Reference: always present. User: optional, never `Cascade`; see [`Field::delete_action`].
    pub on_delete: Option<OnDelete>,
    /// Holds personal data: masked unless the caller may see it.
    pub pii: bool,
    /// Only with `pii`; absent means [`MaskType::Full`].
    pub mask_type: Option<MaskType>,
    /// The client's wish that only ciphertext is stored. Text and json only.
    pub encrypted: bool,
    /// Computed: the source text of the expression, not yet compiled.
    pub expression: Option<String>,
    /// Computed: the type of the result; see [`FieldType::is_return_type`].
    pub return_type: Option<FieldType>,
}

impl Field {
    /// Reads one field definition; paths of problems start at `field`.
    pub fn from_json(json: &Json) -> Result<Self, DefinitionError> {
        read::field(json)
    }

    /// All thirteen keys, in the order of the contract, null where absent.
    pub fn to_json(&self) -> Json {
        let text = |text: Option<&str>| text.map_or(Json::Null, Json::from);
        let mut object = Map::with_capacity(13);
        let mut put = |key: &str, value: Json| object.insert(key.to_owned(), value);
        put("name", self.name.as_str().into());
        put("type", self.field_type.name().into());
        put("required", self.required.into());
        put("default", self.default.clone().unwrap_or(Json::Null));
        put("unique", self.unique.into());
        put("options", self.options.clone().unwrap_or(Json::Null));
        put("collection", text(self.collection.as_deref()));
        put("on_delete", text(self.on_delete.map(OnDelete::name)));
        put("pii", self.pii.into());
        put("mask_type", text(self.mask_type.map(MaskType::name)));
        put("encrypted", self.encrypted.into());
        put("expression", text(self.expression.as_deref()));
        put("return_type", text(self.return_type.map(FieldType::name)));
        Json::Object(object)
    }

    /// Whether the field has a column.
    pub const fn is_stored(&self) -> bool {
        self.field_type.sql_type().is_some()
    }

    /// What the foreign key does; `None` for fields that refer to nothing. A user field without `on_delete` restricts.
    pub fn delete_action(&self) -> Option<OnDelete> {
        self.field_type
            .is_reference()
            .then(|| self.on_delete.unwrap_or(OnDelete::Restrict))
    }

    /// The index that the column has besides that of its unique constraint: always one of a reference, else what
    /// `options.index` asks for.
    pub fn index(&self) -> Option<Index> {
        if self.field_type.is_reference() {
            return Some(Index::Plain);
        }
        let hint = self.options.as_ref().and_then(|options| options.get("index"))?;
        // A unique field has an index in the order of its type already.
        Index::from_hint(hint)
            .ok()
            .flatten()
            .filter(|index| !(self.unique && *index == Index::Plain))
    }

    /// What `options.audit` says the trail keeps of the values.
    pub fn write_mask(&self) -> Option<WriteMask> {
        let mask = self.options.as_ref()?.get("audit")?.as_str()?;
        WriteMask::from_name(mask)
    }

    /// What `options.erasable` says: the trail keeps the values encrypted under a key of their subject, so that they can be
    /// erased. `None`: nothing.
    pub fn erasable(&self) -> Option<bool> {
        self.options.as_ref()?.get("erasable")?.as_bool()
    }

    /// How the field is masked; `None` when it holds no personal data.
    pub fn mask(&self) -> Option<MaskType> {
        self.pii.then(|| self.mask_type.unwrap_or(MaskType::Full))
    }
}
