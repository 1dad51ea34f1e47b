//! One connected data plane, seen from the control plane.
