//! The phases that functions run in, and the sets that functions of the PDK allow.

/// Where a configured function runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Rewrite,
    Access,
    HeaderFilter,
    BodyFilter,
    Log,
}

impl Phase {
    pub const ALL: [Phase; 5] = [
        Phase::Rewrite,
        Phase::Access,
        Phase::HeaderFilter,
        Phase::BodyFilter,
        Phase::Log,
    ];

    /// As configurations and functions know it.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Rewrite => "rewrite",
            Phase::Access => "access",
            Phase::HeaderFilter => "header_filter",
            Phase::BodyFilter => "body_filter",
            Phase::Log => "log",
        }
    }

    pub fn index(self) -> usize {
        self as usize
    }

    /// The functions of this phase may wait, and their answer ends them.
    pub fn is_coroutine(self) -> bool {
        matches!(self, Phase::Rewrite | Phase::Access)
    }

    fn bit(self) -> u16 {
        match self {
            Phase::Rewrite => REWRITE,
            Phase::Access => ACCESS,
            Phase::HeaderFilter => HEADER_FILTER,
            Phase::BodyFilter => BODY_FILTER,
            Phase::Log => LOG,
        }
    }
}

pub const CERTIFICATE: u16 = 1;
pub const REWRITE: u16 = 1 << 1;
pub const ACCESS: u16 = 1 << 2;
pub const BALANCER: u16 = 1 << 3;
pub const RESPONSE: u16 = 1 << 4;
pub const HEADER_FILTER: u16 = 1 << 5;
pub const BODY_FILTER: u16 = 1 << 6;
pub const LOG: u16 = 1 << 7;
pub const PREREAD: u16 = 1 << 8;
pub const ERROR: u16 = 1 << 9;
pub const ADMIN_API: u16 = 1 << 10;
/// Every phase of a request.
pub const ANY: u16 = u16::MAX;

/// In the order in which errors list them. Functions never run in some of them here, but the
/// texts of errors name them all.
const NAMES: [(u16, &str); 11] = [
    (CERTIFICATE, "certificate"),
    (REWRITE, "rewrite"),
    (ACCESS, "access"),
    (BALANCER, "balancer"),
    (RESPONSE, "response"),
    (HEADER_FILTER, "header_filter"),
    (BODY_FILTER, "body_filter"),
    (LOG, "log"),
    (PREREAD, "preread"),
    (ERROR, "error"),
    (ADMIN_API, "admin_api"),
];

/// The names of a set of phases.
pub fn names(allowed: u16) -> String {
    let named = NAMES.iter().filter(|(bit, _)| allowed & bit != 0);
    let named: Vec<&str> = named.map(|(_, name)| *name).collect();
    named.join(", ")
}

/// The error of a function that must not be called in this phase, if it must not.
pub fn refusal(function: &str, allowed: u16, phase: Phase) -> Option<String> {
    if allowed & phase.bit() != 0 {
        return None;
    }
    let name = phase.name();
    Some(
        match function.starts_with("ngx.") || function.starts_with("hidden.") {
            true => format!("API disabled in the context of {name}_by_lua*"),
            false => {
                let allowed = names(allowed);
                format!("function cannot be called in {name} phase (only in: {allowed})")
            }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_refused_by_name() {
        let allowed = ADMIN_API | LOG | RESPONSE | HEADER_FILTER | BODY_FILTER | ERROR;
        assert_eq!(
            refusal("kong.response.get_status", allowed, Phase::Access).as_deref(),
            Some(
                "function cannot be called in access phase (only in: response, header_filter, \
                 body_filter, log, error, admin_api)"
            )
        );
        assert_eq!(
            refusal("kong.response.get_status", allowed, Phase::Log),
            None
        );
        assert_eq!(
            refusal("ngx.sleep", REWRITE | ACCESS, Phase::Log).as_deref(),
            Some("API disabled in the context of log_by_lua*")
        );
    }
}
