//! A password, and how one is made. It is never printed, and compared without telling how far it fits.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};

/// Letters and digits: fit for every engine, every URL and every shell.
const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// The longest that Oracle takes; 178 bits.
const LENGTH: usize = 30;

/// A password.
#[derive(Clone)]
pub struct Password(SecretString);

impl Password {
    /// The password itself, to be handed to AWS or written into a Secret, and nowhere else.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// A new one, from the system's random numbers.
    ///
    /// # Errors
    /// Where the system has none.
    pub fn generate() -> Result<Self, getrandom::Error> {
        loop {
            let password = Self::from_random(getrandom::fill)?;
            // Some engines ask for each.
            let has = |kind: fn(&u8) -> bool| password.bytes().any(|byte| kind(&byte));
            if has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_digit) {
                return Ok(password.into());
            }
        }
    }

    fn from_random<E>(mut random: impl FnMut(&mut [u8]) -> Result<(), E>) -> Result<String, E> {
        let mut password = String::with_capacity(LENGTH);
        let mut bytes = [0; LENGTH];
        while password.len() < LENGTH {
            random(&mut bytes)?;
            // What is beyond a multiple of the alphabet's length would make some letters likelier.
            let fair = bytes.iter().filter(|byte| usize::from(**byte) < 256 - 256 % ALPHABET.len());
            let letters = fair.map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]));
            password.extend(letters.take(LENGTH - password.len()));
        }
        Ok(password)
    }
}

impl From<String> for Password {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

impl PartialEq for Password {
    fn eq(&self, other: &Self) -> bool {
        let (one, other) = (self.expose().as_bytes(), other.expose().as_bytes());
        one.len() == other.len() && one.iter().zip(other).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
    }
}

impl Eq for Password {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_long_differ_and_are_never_printed() {
        let (one, other) = (Password::generate().unwrap(), Password::generate().unwrap());
        assert_eq!(one.expose().len(), LENGTH);
        assert!(one.expose().bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert!(one != other && one == one.clone());
        assert_eq!(format!("{one:?}"), "Password(…)");
    }

    #[test]
    fn no_letter_is_likelier_than_another() {
        let mut next = 0_u8;
        let counting = |bytes: &mut [u8]| {
            bytes.iter_mut().for_each(|byte| {
                *byte = next;
                next = next.wrapping_add(1);
            });
            Ok::<(), ()>(())
        };
        let password = Password::from_random(counting).unwrap();
        assert_eq!(password.as_bytes(), &ALPHABET[..LENGTH]);
    }
}
