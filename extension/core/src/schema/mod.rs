//! Collection definitions: parsing, validation, and the difference between two of them.
