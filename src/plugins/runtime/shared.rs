//! What plugins keep of one request: each for itself, and all together.

use std::any::{Any, TypeId};

/// What one plugin instance keeps from phase to phase of a request.
#[derive(Default)]
pub struct State(Option<Box<dyn Any>>);

impl State {
    /// What was kept, if it is of this type.
    pub fn get<T: Any>(&mut self) -> Option<&mut T> {
        self.0.as_mut()?.downcast_mut()
    }

    /// Keeps a value in place of what was kept before.
    pub fn put<T: Any>(&mut self, value: T) {
        self.0 = Some(Box::new(value));
    }

    /// What was kept, or its default from now on.
    pub fn get_or_default<T: Any + Default>(&mut self) -> &mut T {
        if !matches!(&self.0, Some(kept) if kept.is::<T>()) {
            self.put(T::default());
        }
        match self.get() {
            Some(kept) => kept,
            // It was put there two lines above.
            None => unreachable!(),
        }
    }

    /// Takes out what was kept, if it is of this type.
    pub fn take<T: Any>(&mut self) -> Option<T> {
        let kept = self.0.take()?;
        match kept.downcast() {
            Ok(kept) => Some(*kept),
            Err(other) => {
                self.0 = Some(other);
                None
            }
        }
    }
}

/// What the plugins of a request tell each other: one value of each type. Costs nothing as long as
/// nobody tells anything.
#[derive(Default)]
pub struct Shared(Vec<(TypeId, Box<dyn Any>)>);

impl Shared {
    pub fn get<T: Any>(&self) -> Option<&T> {
        let found = self.0.iter().find(|(id, _)| *id == TypeId::of::<T>());
        found.and_then(|(_, value)| value.downcast_ref())
    }

    pub fn get_mut<T: Any>(&mut self) -> Option<&mut T> {
        let found = self.0.iter_mut().find(|(id, _)| *id == TypeId::of::<T>());
        found.and_then(|(_, value)| value.downcast_mut())
    }

    /// Keeps a value in place of the one of the same type.
    pub fn put<T: Any>(&mut self, value: T) {
        self.0.retain(|(id, _)| *id != TypeId::of::<T>());
        self.0.push((TypeId::of::<T>(), Box::new(value)));
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_of_the_type_that_was_put() {
        let mut state = State::default();
        assert_eq!(state.get::<u8>(), None);
        *state.get_or_default::<u8>() += 2;
        *state.get_or_default::<u8>() += 2;
        assert_eq!(state.take::<String>(), None);
        assert_eq!(state.take::<u8>(), Some(4));
        assert_eq!(state.take::<u8>(), None);
    }

    #[test]
    fn one_value_of_each_type_is_shared() {
        let mut shared = Shared::default();
        shared.put(1_u8);
        shared.put("text".to_owned());
        shared.put(2_u8);
        assert_eq!(shared.get::<u8>(), Some(&2));
        shared.get_mut::<String>().expect("a text").push('!');
        assert_eq!(shared.get::<String>().map(String::as_str), Some("text!"));
        shared.clear();
        assert_eq!(shared.get::<u8>(), None);
    }
}
