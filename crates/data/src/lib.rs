//! Foldin.
