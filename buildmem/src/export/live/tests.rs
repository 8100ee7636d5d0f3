//! The screen at several sizes.
