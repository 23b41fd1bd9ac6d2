//! What befalls the pods of one run: nobody else feels it, so that these tests may run beside one another.

mod autoscaler;
mod cut;
mod lost;
mod sources;
mod tokens;
