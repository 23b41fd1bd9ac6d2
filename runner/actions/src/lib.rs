//! The leaves that do something: one module for each, behind one trait.
