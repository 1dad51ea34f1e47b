//! Settings: kong.conf grammar; defaults < file < environment < flags.
