//! What was measured, in the forms that people and programs read. Each is a function from a plain value to a
//! writer.

pub mod doctor;
