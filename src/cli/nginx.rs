//! Options of Kong's commands that are about nginx: taken, since scripts give them, and warned of.

/// Flattened into the commands that have them in Kong.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct NginxArgs {
    /// A template of nginx's configuration, in Kong. There is no nginx: it is not read.
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    nginx_conf: Option<String>,

    /// Flags of that template, in Kong. They change nothing.
    #[arg(long, value_name = "FLAGS", hide_short_help = true)]
    nginx_conf_flags: Option<String>,
}

impl NginxArgs {
    /// Says which of them were given.
    pub fn warn(&self) {
        let given = [
            ("--nginx-conf", &self.nginx_conf),
            ("--nginx-conf-flags", &self.nginx_conf_flags),
        ];
        for (option, _) in given.into_iter().filter(|(_, value)| value.is_some()) {
            no_effect(option);
        }
    }
}

/// One line for an option of Kong's that is accepted.
pub fn no_effect(option: &str) {
    eprintln!("langur: warning: {option} is accepted and has no effect");
}
