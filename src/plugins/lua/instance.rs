//! One configured plugin of functions: their texts and what they may do.

use super::function::Functions;
use super::phase::Phase;
use crate::plugins::{NodeName, NodeSettings, Phases};
use std::sync::Arc;
use uuid::Uuid;

/// The configured functions of an instance, shared by all workers.
pub struct Instance {
    pub plugin: &'static str,
    pub id: Uuid,
    pub node: NodeName,
    pub settings: Arc<NodeSettings>,
    /// By [`Phase::index`].
    pub functions: [Option<Arc<Functions>>; 5],
}

impl Instance {
    pub fn functions(&self, phase: Phase) -> Option<&Arc<Functions>> {
        self.functions[phase.index()].as_ref()
    }

    /// Whether any function's text names this.
    pub fn mentions(&self, name: &str) -> bool {
        let mut functions = self.functions.iter().flatten();
        functions.any(|functions| functions.mentions(name))
    }

    /// The phases that it has functions for.
    pub fn phases(&self) -> Phases {
        let of = |phase: Phase| match phase {
            Phase::Rewrite => Phases::REWRITE,
            Phase::Access => Phases::ACCESS,
            Phase::HeaderFilter => Phases::HEADER_FILTER,
            Phase::BodyFilter => Phases::BODY_FILTER,
            Phase::Log => Phases::LOG,
        };
        let having = Phase::ALL.into_iter();
        let having = having.filter(|phase| self.functions(*phase).is_some());
        having.fold(Phases::NONE, |all, phase| all.and(of(phase)))
    }
}
