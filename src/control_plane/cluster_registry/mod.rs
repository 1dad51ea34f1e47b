//! Who is connected, at which revision; fan-out of changes to the sessions.
