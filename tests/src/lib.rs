//! Tests that span crates, up to a real cluster.
