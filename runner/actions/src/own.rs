//! Actions that are not built in: those of who builds a runner of their own.

use crate::Action;
use botarmy_tree::plan::LeafRecord;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Makes an action from what the plan says of a leaf, for the bots of one worker.
type Factory = Arc<dyn Fn(&LeafRecord) -> Box<dyn Action> + Send + Sync>;

/// Actions by name; none by default.
#[derive(Clone, Default)]
pub struct Own(BTreeMap<String, Factory>);

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Own {
    /// Adds an action; one of the same name is replaced.
    #[must_use]
    pub fn with(
        mut self,
        name: &str,
        make: impl Fn(&LeafRecord) -> Box<dyn Action> + Send + Sync + 'static,
    ) -> Self {
        self.0.insert(name.to_owned(), Arc::new(make));
        self
    }

    /// The action of a leaf that calls one by this name.
    pub(crate) fn make(&self, name: &str, leaf: &LeafRecord) -> Option<Box<dyn Action>> {
        self.0.get(name).map(|make| make(leaf))
    }
}
