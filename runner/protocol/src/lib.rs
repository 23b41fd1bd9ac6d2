//! What a runner and the coordinator say to each other, as plain data.
