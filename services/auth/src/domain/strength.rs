//! Whether a password is one that would soon be guessed: what people use most, words, names, dates, rows of keys, what is known of the user.
//!
//! The estimator is zxcvbn, with its lists of the passwords that leaked most often. It says how many guesses somebody needs who knows how
//! people choose; what needs fewer than a hundred million is refused, as its authors advise. It looks at the first [`LOOKED_AT`] characters
//! alone: its work grows with the square of the length, and a password that begins well is a good one.

use coffre_secret::SecretText;
use zxcvbn::feedback::Warning;
use zxcvbn::{Score, zxcvbn};

use super::Auth;
use super::error::WeakPassword;
use super::user::User;
use crate::hashing::{HashFault, Hasher};

/// How many characters are looked at. Made of signs that may each stand for several letters, 100 take seconds, these a quarter of one.
const LOOKED_AT: usize = 40;
/// The most things known of a user that are looked for.
const MOST_KNOWN: usize = 32;
/// What everybody knows of an installation.
const PRODUCT: &str = "coffre";

/// What whoever knows a user tries first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known(Vec<String>);

impl Known {
    /// Takes texts about a user, and their parts.
    pub(crate) fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut all = vec![PRODUCT.to_owned()];
        for text in texts.into_iter().filter(|text| !text.is_empty()) {
            all.push(text.to_owned());
            let parts = text.split(|sign: char| !sign.is_alphanumeric()).filter(|part| part.chars().count() > 2);
            all.extend(parts.map(str::to_owned));
        }
        all.truncate(MOST_KNOWN);
        Self(all)
    }

    /// Takes what is known of a user.
    pub(crate) fn of_user(user: &User) -> Self {
        Self::of([&*user.username, &*user.first_name, &*user.last_name, &*user.email])
    }
}

/// Judges a password. It holds a core for some milliseconds, rarely for a quarter of a second.
fn judge(password: &str, known: &Known) -> Result<(), WeakPassword> {
    let begins: SecretText = password.chars().take(LOOKED_AT).collect::<String>().into();
    let known: Vec<&str> = known.0.iter().map(String::as_str).collect();
    let estimate = zxcvbn(begins.expose(), &known);
    if estimate.score() >= Score::Three {
        return Ok(());
    }
    let warning = estimate.feedback().and_then(zxcvbn::feedback::Feedback::warning);
    Err(WeakPassword::Guessable {
        why: warning.map_or("it is made of what is tried first, such as names of the user", why),
    })
}

fn why(warning: Warning) -> &'static str {
    match warning {
        Warning::StraightRowsOfKeysAreEasyToGuess | Warning::ShortKeyboardPatternsAreEasyToGuess => {
            "it follows the keys of the keyboard"
        }
        Warning::RepeatsLikeAaaAreEasyToGuess | Warning::RepeatsLikeAbcAbcAreOnlySlightlyHarderToGuess => {
            "it repeats itself"
        }
        Warning::ThisIsATop10Password | Warning::ThisIsATop100Password | Warning::ThisIsACommonPassword => {
            "it is one of those that people use most"
        }
        Warning::ThisIsSimilarToACommonlyUsedPassword => "it resembles one of those that people use most",
        Warning::SequencesLikeAbcAreEasyToGuess => "it is a sequence such as abc or 6543",
        Warning::RecentYearsAreEasyToGuess | Warning::DatesAreOftenEasyToGuess => "it is little more than a date",
        Warning::AWordByItselfIsEasyToGuess => "it is little more than one word",
        Warning::NamesAndSurnamesByThemselvesAreEasyToGuess | Warning::CommonNamesAndSurnamesAreEasyToGuess => {
            "it is little more than a name"
        }
    }
}

impl Hasher {
    /// Judges a password on the threads that hash, which let others go first.
    pub(crate) async fn judge(
        &self,
        password: &SecretText,
        known: Known,
    ) -> Result<Result<(), WeakPassword>, HashFault> {
        let password = SecretText::new(password.expose().to_owned());
        self.aside(move || judge(password.expose(), &known)).await
    }
}

impl Auth {
    /// Refuses a password that would soon be guessed, unless a setting turns that off. Whoever calls holds a turn at hashing.
    pub(crate) async fn refuse_guessable<E>(&self, password: &SecretText, known: Known) -> Result<(), E>
    where
        E: From<WeakPassword> + From<HashFault>,
    {
        if self.config.password_strength_check {
            self.hasher.judge(password, known).await??;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(password: &str) -> Result<(), WeakPassword> {
        judge(password, &Known::of(["Ellie.Brown", "Ellie", "Brown", "ellie.brown@example.org"]))
    }

    #[test]
    fn what_leaked_and_what_people_make_of_it_is_refused() {
        for (password, reason) in [
            ("12345678", "people use most"),
            ("password1234", "people use most"),
            ("Passw0rd1234", "people use most"),
            ("iloveyouiloveyou", "repeats"),
            ("123456789012", "sequence"),
            ("qwertyuiop12", "people use most"),
            ("P@ssw0rd2026!", "people use most"),
            ("aaaaaaaaaaaaaaaa", "repeats"),
            ("abcdefghijkl", "sequence"),
        ] {
            let refused = judged(password).unwrap_err();
            assert!(refused.to_string().contains(reason), "{password}: {refused}");
        }
    }

    #[test]
    fn what_is_known_of_the_user_is_refused() {
        for password in ["ellie.brown@example.org", "Ellie.Brown.1", "coffrecoffre12", "brownellie12"] {
            assert!(judged(password).is_err(), "{password}");
        }
        assert_eq!(judge("Ellie.Brown.1", &Known::default()), Ok(()), "nobody knows her here");
    }

    #[test]
    fn words_that_have_nothing_to_do_with_each_other_are_good() {
        for password in [
            "correct horse battery staple",
            "battery-horse-staple",
            "un pingouin mange vite",
            "x7#kQp!29vLm",
            "das Fahrrad schläft",
            "東京で犬が三匹鳴いた夜",
        ] {
            assert_eq!(judged(password), Ok(()), "{password}");
        }
    }

    #[test]
    fn a_password_is_judged_by_how_it_begins() {
        assert!(judged(&format!("{}correct horse battery staple", "a".repeat(LOOKED_AT))).is_err());
        assert_eq!(judged(&format!("correct horse battery staple{}", "a".repeat(1000))), Ok(()));
    }

    #[test]
    fn as_much_of_a_user_is_looked_for_as_is_bounded() {
        let long = "part ".repeat(1000);
        assert_eq!(Known::of([long.as_str()]).0.len(), MOST_KNOWN);
        assert_eq!(Known::of(["", "a.b"]).0, [PRODUCT, "a.b"]);
    }
}
