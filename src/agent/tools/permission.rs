//! From what a tool can do and what the user allows to what is done with a call.
//!
//! Pure.

use super::Class;
use crate::config::tools::{Permission, Permissions};

/// What is done with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is made.
    Run,
    /// It is made after a yes to exactly these arguments.
    Ask,
    /// It is not made; the model is told that the user does not allow it.
    Refuse,
}

/// What is done with a call of that class. The user's word counts first; without one, what destroys is asked for.
#[must_use]
pub fn verdict(permissions: &Permissions, tool: &str, class: Class) -> Verdict {
    match (permissions.of(tool), class) {
        (Some(Permission::Deny), _) => Verdict::Refuse,
        (Some(Permission::Ask), _) | (None, Class::Destroy) => Verdict::Ask,
        (Some(Permission::Allow), _) | (None, Class::Read | Class::Act) => Verdict::Run,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_word_counts_before_the_class() {
        let permissions = Permissions::new([
            ("a".to_owned(), Permission::Allow),
            ("b".to_owned(), Permission::Ask),
            ("c".to_owned(), Permission::Deny),
        ]);
        let of = |tool, class| verdict(&permissions, tool, class);
        assert_eq!(of("a", Class::Destroy), Verdict::Run);
        assert_eq!(of("b", Class::Read), Verdict::Ask);
        assert_eq!(of("c", Class::Read), Verdict::Refuse);
        assert_eq!(of("d", Class::Read), Verdict::Run);
        assert_eq!(of("d", Class::Act), Verdict::Run);
        assert_eq!(of("d", Class::Destroy), Verdict::Ask);
    }
}
