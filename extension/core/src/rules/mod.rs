//! Rules and filters: one grammar, checked against a schema, emitted as SQL.
