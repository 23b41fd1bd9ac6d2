//! Runs behavior trees: in a pod of an army, or here and now.
