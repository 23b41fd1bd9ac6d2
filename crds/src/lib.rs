//! The Kubernetes kinds of the bot army.
