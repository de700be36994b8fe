//! What class each picture is of.

use crate::error::VisionError;

/// One label for each picture of a set, some of which may have none: article type, colour, or the category a picture is generated for.
#[derive(Clone, Debug, PartialEq)]
pub struct Labels {
    name: String,
    classes: Vec<String>,
    of: Vec<Option<u32>>,
}

impl Labels {
    /// Labels from class names; classes are numbered in the order of their names. `None` is a picture without a label.
    #[must_use]
    pub fn from_names<S: AsRef<str>>(name: &str, of: &[Option<S>]) -> Self {
        let mut classes: Vec<&str> = of.iter().flatten().map(AsRef::as_ref).collect();
        classes.sort_unstable();
        classes.dedup();
        let number = |class: &str| classes.binary_search(&class).ok().map(|at| at as u32);
        let of = of.iter().map(|class| class.as_ref().and_then(|class| number(class.as_ref()))).collect();
        Self { name: name.to_owned(), classes: classes.into_iter().map(str::to_owned).collect(), of }
    }

    /// Labels by number.
    ///
    /// # Errors
    /// [`VisionError::Shape`] for a number without a class.
    pub fn new(name: &str, classes: Vec<String>, of: Vec<Option<u32>>) -> Result<Self, VisionError> {
        if let Some(bad) = of.iter().flatten().find(|&&class| class as usize >= classes.len()) {
            return Err(VisionError::shape("class number", format!("below {}", classes.len()), bad));
        }
        Ok(Self { name: name.to_owned(), classes, of })
    }

    /// What the label tells, such as `article type`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Names of the classes.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The class of each picture.
    #[must_use]
    pub fn of(&self) -> &[Option<u32>] {
        &self.of
    }

    /// The number of a class.
    ///
    /// # Errors
    /// [`VisionError::Unknown`], which lists the classes.
    pub fn class(&self, name: &str) -> Result<u32, VisionError> {
        let found = self.classes.iter().position(|class| class.eq_ignore_ascii_case(name));
        found.map(|at| at as u32).ok_or_else(|| VisionError::Unknown {
            what: "category",
            name: name.to_owned(),
            known: self.classes.join(", "),
        })
    }

    /// Pictures of a class, in order.
    #[must_use]
    pub fn members(&self, class: u32) -> Vec<u32> {
        (0..self.of.len() as u32).filter(|&picture| self.of[picture as usize] == Some(class)).collect()
    }

    /// How many pictures each class has.
    #[must_use]
    pub fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        self.of.iter().flatten().for_each(|&class| counts[class as usize] += 1);
        counts
    }

    /// The labels of some of the pictures, in that order.
    ///
    /// # Panics
    /// If a picture is out of range.
    #[must_use]
    pub fn select(&self, pictures: &[u32]) -> Self {
        Self {
            name: self.name.clone(),
            classes: self.classes.clone(),
            of: pictures.iter().map(|&picture| self.of[picture as usize]).collect(),
        }
    }

    /// Only classes of at least `least` pictures; the pictures of others have no label then.
    #[must_use]
    pub fn frequent(&self, least: usize) -> Self {
        let counts = self.counts();
        let names: Vec<Option<&str>> = self
            .of
            .iter()
            .map(|class| {
                class
                    .filter(|&class| counts[class as usize] >= least)
                    .map(|class| self.classes[class as usize].as_str())
            })
            .collect();
        Self::from_names(&self.name, &names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_numbered_by_name() {
        let labels =
            Labels::from_names("kind", &[Some("shoes"), None, Some("bottoms"), Some("shoes"), Some("tops")]);
        assert_eq!(labels.classes(), ["bottoms", "shoes", "tops"]);
        assert_eq!(labels.of(), [Some(1), None, Some(0), Some(1), Some(2)]);
        assert_eq!(labels.members(1), [0, 3]);
        assert_eq!(labels.class("Shoes").unwrap(), 1);
        assert!(labels.class("hats").unwrap_err().to_string().contains("bottoms, shoes, tops"));
        let frequent = labels.frequent(2);
        assert_eq!(frequent.classes(), ["shoes"]);
        assert_eq!(frequent.of(), [Some(0), None, None, Some(0), None]);
        assert_eq!(labels.select(&[4, 0]).of(), [Some(2), Some(1)]);
    }

    #[test]
    fn a_class_that_does_not_exist_is_refused() {
        assert!(Labels::new("kind", vec!["a".into()], vec![Some(1)]).is_err());
    }
}
