//! How much a source text may ask of the compiler. A stack overflow in a backend would restart every backend of the
//! server, and a policy runs for every row: all sizes have an end.

/// Characters of one source text.
pub const CHARACTERS: usize = 16_384;
/// Parentheses, calls, `!` and unary `-` inside each other.
pub const NESTING: usize = 100;
/// Tokens of one source text; commas do not count.
pub const TOKENS: usize = 2_000;
/// Members of one `IN` list, arguments of one call.
pub const VALUES: usize = 1_000;
/// Objects and arrays inside each other in the JSON form of a filter.
pub const JSON_NESTING: usize = 20;
/// Macros inside macros.
pub const MACRO_DEPTH: usize = 8;
/// Depth of the tree after macros and computed fields are expanded. A parenthesis makes a level for each kind of operator
/// next to it, rarely more than two.
pub const TREE_DEPTH: usize = 256;
/// Size of the tree after macros and computed fields are expanded: nodes, and one more for every 16 bytes of text.
pub(super) const EXPANDED_SIZE: usize = 20_000;
/// Findings reported for one source text.
pub const ERRORS: usize = 100;
/// Arguments of a SELECT macro: as many as a function of PostgreSQL takes.
pub const SELECT_ARGUMENTS: usize = 100;
