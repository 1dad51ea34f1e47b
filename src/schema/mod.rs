//! What a valid entity is: pure data and functions.
