use std::fmt;

/// The name of a table, checked so that it is safe in SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableName {
    schema: Option<String>,
    table: String,
}

impl TableName {
    const DEFAULT: &str = "bondify_events";
    const INDEX_SUFFIX: &str = "_expires";

    /// PostgreSQL truncates longer identifiers, so that two names could become the same.
    const LONGEST_IDENTIFIER: usize = 63;

    pub(crate) fn parse(name: &str, has_schemas: bool) -> Result<Self, TableNameError> {
        let longest_table = Self::LONGEST_IDENTIFIER - Self::INDEX_SUFFIX.len();
        let (schema, table) = match name.split_once('.') {
            Some((schema, table)) if has_schemas => (Some(schema), table),
            _ => (None, name),
        };
        let is_valid = is_identifier(table, longest_table)
            && schema.is_none_or(|schema| is_identifier(schema, Self::LONGEST_IDENTIFIER));
        if !is_valid {
            return Err(TableNameError { name: name.to_owned(), has_schemas });
        }
        Ok(Self { schema: schema.map(str::to_owned), table: table.to_owned() })
    }

    /// The table's name with its schema, as SQL. It is quoted, so that it may be a keyword.
    pub(crate) fn quoted(&self, quote: char) -> String {
        let table = quoted(quote, &self.table);
        match &self.schema {
            Some(schema) => format!("{}.{table}", quoted(quote, schema)),
            None => table,
        }
    }

    /// The name of the table's index on `expires`, as SQL.
    pub(crate) fn quoted_index(&self, quote: char) -> String {
        quoted(quote, &format!("{}{}", self.table, Self::INDEX_SUFFIX))
    }
}

impl Default for TableName {
    fn default() -> Self {
        Self { schema: None, table: Self::DEFAULT.to_owned() }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{schema}.")?;
        }
        f.write_str(&self.table)
    }
}

/// Quotes an identifier, which contains no quotation marks.
fn quoted(quote: char, identifier: &str) -> String {
    format!("{quote}{identifier}{quote}")
}

fn is_identifier(text: &str, longest: usize) -> bool {
    text.len() <= longest
        && text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.chars().all(|char| char.is_ascii_alphanumeric() || char == '_')
}

/// The error for a text that is not a valid table name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name:?} is not a table name: use up to 55 ASCII letters, digits and underscores, and begin \
     with no digit{}",
    if *has_schemas { "; a schema and a dot may come before it" } else { "" }
)]
pub struct TableNameError {
    name: String,
    has_schemas: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_name_is_an_identifier_with_an_optional_schema() {
        let longest = "t".repeat(55);
        for name in ["bondify_events", "_", "Events2", &longest] {
            assert_eq!(TableName::parse(name, false).unwrap().to_string(), name);
            assert_eq!(TableName::parse(name, true).unwrap().to_string(), name);
        }
        let name = TableName::parse("shop.order", true).unwrap();
        assert_eq!(name.quoted('"'), r#""shop"."order""#);
        assert_eq!(name.quoted_index('"'), r#""order_expires""#);
        assert_eq!(name.quoted('`'), "`shop`.`order`");
    }

    #[test]
    fn other_texts_are_refused() {
        let too_long = "t".repeat(56);
        let too_long_schema = format!("{}.events", "s".repeat(64));
        for name in [
            "",
            " ",
            "2events",
            "my events",
            "events;",
            "e\"vents",
            "e'vents",
            "événements",
            ".",
            "events.",
            ".events",
            "a.b.c",
            "shop..events",
            "shop.2",
            "x--",
            &too_long,
            &too_long_schema,
        ] {
            assert!(TableName::parse(name, true).is_err(), "{name:?}");
        }
        assert!(TableName::parse("shop.events", false).is_err());
    }

    #[test]
    fn the_error_says_what_a_table_name_is() {
        let error = TableName::parse("my events", false).unwrap_err();
        assert_eq!(
            error.to_string(),
            "\"my events\" is not a table name: use up to 55 ASCII letters, digits and underscores, \
             and begin with no digit",
        );
        let error = TableName::parse("my events", true).unwrap_err();
        assert!(error.to_string().ends_with("no digit; a schema and a dot may come before it"));
    }
}
