//! What a source text may refer to: the columns of one table as the compiler sees them.

/// The type of a column, in SQL and in a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `text`: the field types text, email, url; also `created_by` and `updated_by`.
    Text,
    /// `uuid`: the field types reference and user; also `id` and `account_id`. A text in rules.
    Uuid,
    /// `float8`
    Number,
    /// `boolean`
    Boolean,
    /// `timestamptz`
    Datetime,
    /// `date`
    Date,
    /// `jsonb`; only tests for null
    Json,
    /// `jsonb` with the metadata of a file; a JSON text in rules
    File,
}

impl Kind {
    /// The SQL type.
    pub fn sql(self) -> &'static str {
        match self {
            Kind::Text => "text",
            Kind::Uuid => "uuid",
            Kind::Number => "float8",
            Kind::Boolean => "boolean",
            Kind::Datetime => "timestamptz",
            Kind::Date => "date",
            Kind::Json | Kind::File => "jsonb",
        }
    }

    /// The type as it is named in a message.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Text => "text",
            Kind::Uuid => "id",
            Kind::Number => "number",
            Kind::Boolean => "boolean",
            Kind::Datetime => "datetime",
            Kind::Date => "date",
            Kind::Json => "json",
            Kind::File => "file",
        }
    }
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Name of the field and of the column; case-sensitive.
    pub name: String,
    /// Its type; for a computed field the type it returns.
    pub kind: Kind,
    /// Whether the stored value is a ciphertext: a rule may only test it for null, a filter may not use it.
    pub encrypted: bool,
    /// Whether the author of the text sees a mask instead of the value: a filter may only ask whether it is a certain value,
    /// or null. Rules are written by those who see everything.
    pub masked: bool,
    /// Whether an index over the text in byte order (`collate "C"`) exists: a filter by a pattern with a fixed beginning then
    /// says so as ranges, which the index can serve.
    pub prefix_index: bool,
    /// The source of a computed field. It has no column: the compiler puts the expression in its place.
    pub computed: Option<String>,
}

impl Column {
    /// A plain stored column.
    pub fn new(name: impl Into<String>, kind: Kind) -> Self {
        Column {
            name: name.into(),
            kind,
            encrypted: false,
            masked: false,
            prefix_index: false,
            computed: None,
        }
    }

    /// The same column with an index in byte order, if `indexed`.
    #[must_use]
    pub fn with_prefix_index(self, indexed: bool) -> Self {
        Column {
            prefix_index: indexed,
            ..self
        }
    }

    /// The same column for somebody who sees its mask, if `masked`.
    #[must_use]
    pub fn with_mask(self, masked: bool) -> Self {
        Column { masked, ..self }
    }

    /// A stored column that holds ciphertext.
    pub fn encrypted(name: impl Into<String>, kind: Kind) -> Self {
        Column {
            encrypted: true,
            ..Column::new(name, kind)
        }
    }

    /// A computed field.
    pub fn computed(name: impl Into<String>, returns: Kind, source: impl Into<String>) -> Self {
        Column {
            computed: Some(source.into()),
            ..Column::new(name, returns)
        }
    }
}

/// The columns a source text may name, and how the table is called in the SQL text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    table: String,
    columns: Vec<Column>,
    /// The columns from this one on have names only.
    untyped_from: usize,
    /// Whether every other name is a field, too, of which nothing else is known.
    open: bool,
}

impl Schema {
    /// `table` is the unquoted qualifier written before each column: the name or alias of the table.
    ///
    /// `columns` are *all* columns the author may use, the six system columns included, in the order in which messages
    /// list them. A column left out does not exist: that is how a filter is kept from a field the caller may not read.
    pub fn new(table: impl Into<String>, columns: Vec<Column>) -> Self {
        let untyped_from = columns.len();
        Schema {
            table: table.into(),
            columns,
            untyped_from,
            open: false,
        }
    }

    /// The system columns and fields of which only the names are known. Nothing can be emitted for them.
    pub(super) fn of_names(fields: &[&str]) -> Self {
        let mut schema = Schema::new("", Schema::system_columns());
        schema
            .columns
            .extend(fields.iter().map(|name| Column::new(*name, Kind::Json)));
        schema
    }

    /// The system columns, and every other name. Nothing can be emitted for those.
    pub fn open() -> Self {
        Schema {
            open: true,
            ..Schema::new("", Schema::system_columns())
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// The six system columns every collection has.
    pub fn system_columns() -> Vec<Column> {
        [
            ("id", Kind::Uuid),
            ("account_id", Kind::Uuid),
            ("created_at", Kind::Datetime),
            ("updated_at", Kind::Datetime),
            ("created_by", Kind::Text),
            ("updated_by", Kind::Text),
        ]
        .into_iter()
        .map(|(name, kind)| Column::new(name, kind))
        .collect()
    }

    /// The unquoted qualifier.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The columns, in the order given.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The column of exactly this name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Whether the type of the column of this name is known.
    pub(super) fn is_typed(&self, name: &str) -> bool {
        self.columns
            .iter()
            .take(self.untyped_from)
            .any(|column| column.name == name)
    }
}
