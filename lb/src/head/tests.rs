//! The rules, one table each, and the properties that hold for any bytes.
