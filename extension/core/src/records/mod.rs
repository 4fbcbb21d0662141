//! Records: does a JSON body fit the schema of its collection, and what values does it write?
