//! Which versions may talk: the same major, and the data plane not newer in minor.

/// Two versions that do not go together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IncompatibleVersion {
    #[error("data plane version {data_plane:?} is not a version (major.minor.patch)")]
    Unreadable { data_plane: String },
    #[error(
        "data plane version {data_plane} and control plane version {control_plane} differ in major"
    )]
    Major {
        control_plane: String,
        data_plane: String,
    },
    #[error(
        "data plane version {data_plane} is newer than control plane version {control_plane}: \
         upgrade the control plane first"
    )]
    DataPlaneNewer {
        control_plane: String,
        data_plane: String,
    },
}

/// Whether a control plane of one version may serve a data plane of another. The patch
/// and whatever follows it never matter.
///
/// # Errors
/// Says which rule is broken.
pub fn check_version(control_plane: &str, data_plane: &str) -> Result<(), IncompatibleVersion> {
    let unreadable = || IncompatibleVersion::Unreadable {
        data_plane: data_plane.chars().take(64).collect(),
    };
    let peer = major_minor(data_plane).ok_or_else(unreadable)?;
    let own = major_minor(control_plane).ok_or_else(unreadable)?;
    let both = || (control_plane.to_owned(), data_plane.to_owned());
    if peer.0 != own.0 {
        let (control_plane, data_plane) = both();
        return Err(IncompatibleVersion::Major {
            control_plane,
            data_plane,
        });
    }
    if peer.1 > own.1 {
        let (control_plane, data_plane) = both();
        return Err(IncompatibleVersion::DataPlaneNewer {
            control_plane,
            data_plane,
        });
    }
    Ok(())
}

fn major_minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.splitn(3, '.');
    let major = parts.next()?.parse().ok()?;
    let minor = parts.next()?.parse().ok()?;
    parts
        .next()?
        .starts_with(|c: char| c.is_ascii_digit())
        .then_some((major, minor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule() {
        let check = |control_plane: &str, data_plane: &str, expected: &str| {
            let got = match check_version(control_plane, data_plane) {
                Ok(()) => "ok",
                Err(IncompatibleVersion::Unreadable { .. }) => "unreadable",
                Err(IncompatibleVersion::Major { .. }) => "major",
                Err(IncompatibleVersion::DataPlaneNewer { .. }) => "newer",
            };
            assert_eq!(got, expected, "{control_plane} serves {data_plane}");
        };
        check("1.4.2", "1.4.2", "ok");
        check("1.4.2", "1.4.9", "ok");
        check("1.4.2", "1.3.0", "ok");
        check("1.4.2", "1.4.0-rc.1", "ok");
        check("1.4.2", "1.5.0", "newer");
        check("1.4.2", "2.0.0", "major");
        check("1.4.2", "0.9.9", "major");
        for odd in ["", "1", "1.4", "1.4.", "1.x.0", "v1.4.2", "-1.4.2"] {
            check("1.4.2", odd, "unreadable");
        }
    }
}
