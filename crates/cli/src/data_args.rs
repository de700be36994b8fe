//! Flags that say which data to read and how; shared by every command that reads data.

use std::path::PathBuf;

use anyhow::Context;
use foldin_core::Dataset;
use foldin_data::known::find_split;
use foldin_data::{Columns, Duplicates, OpenOptions, ReadError, ReadReport, parse_scale};

use crate::common::{Global, usage};

/// Which data, and how to read them.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct DataArgs {
    /// Data set: a file, folder or archive, or a name such as ml-100k or ml-1m
    #[arg(long, help_heading = "Data", value_name = "PATH|NAME")]
    pub(crate) data: Option<String>,
    /// What to do with a pair of user and item that appears more than once: error, last or mean [default: error]
    #[arg(long, help_heading = "Data", value_name = "RULE")]
    pub(crate) duplicates: Option<Duplicates>,
    /// Leave out lines that cannot be used, and count them
    #[arg(long, help_heading = "Data")]
    skip_bad_lines: bool,
    /// Rating scale, MIN,MAX or MIN,MAX,STEP; a rating off it is an error [default: read off the data]
    #[arg(long, help_heading = "Data", value_name = "MIN,MAX[,STEP]", allow_hyphen_values = true)]
    scale: Option<String>,
    /// Take every line as something that happened, whatever the rating says
    #[arg(long, help_heading = "Data")]
    implicit: bool,
    /// Columns by name or by number from 1, such as user=reader,item=book,rating=stars; time=- ignores times [default: found by name]
    #[arg(
        long,
        help_heading = "Data",
        value_name = "WHAT=COLUMN,…",
        default_value = "",
        hide_default_value = true
    )]
    columns: Columns,
    /// What stands between columns: a character, tab, space or :: [default: found out]
    #[arg(long, help_heading = "Data", value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    separator: Option<String>,
    /// Whether the first line names the columns [default: found out]
    #[arg(long, help_heading = "Data", value_name = "true|false")]
    header: Option<bool>,
    /// Table of users, if it does not lie beside the ratings
    #[arg(long, help_heading = "Data", value_name = "FILE")]
    users_file: Option<PathBuf>,
    /// Table of items, if it does not lie beside the ratings
    #[arg(long, help_heading = "Data", value_name = "FILE")]
    items_file: Option<PathBuf>,
}

impl DataArgs {
    /// A data set by name, read as it is.
    pub(crate) fn named(name: &str) -> Self {
        Self { data: Some(name.to_owned()), ..Self::default() }
    }

    /// The flags as options of the reader.
    pub(crate) fn options(&self, global: &Global) -> anyhow::Result<OpenOptions> {
        let scale = self
            .scale
            .as_deref()
            .map(|text| parse_scale(text).map_err(|reason| usage(format!("--scale {text}: {reason}"))))
            .transpose()?;
        Ok(OpenOptions {
            data_dir: global.data_dir.clone(),
            duplicates: self.duplicates.unwrap_or_default(),
            skip_bad_lines: self.skip_bad_lines,
            scale,
            implicit: self.implicit,
            columns: self.columns.clone(),
            separator: self.separator.clone(),
            header: self.header,
            users: self.users_file.clone(),
            items: self.items_file.clone(),
        })
    }

    /// The data set asked for; without `--data` it is an error of usage.
    pub(crate) fn name(&self) -> anyhow::Result<&str> {
        self.data
            .as_deref()
            .ok_or_else(|| usage("say which data: --data ml-100k, or --data path/to/ratings.csv"))
    }

    /// Reads the data set, with what the reader had to say about it.
    pub(crate) fn open_with_report(&self, global: &Global) -> anyhow::Result<(Dataset, ReadReport)> {
        let name = self.name()?;
        foldin_data::open_with_report(name, &self.options(global)?).map_err(|error| match error {
            ReadError::NotFound { .. } if find_split(name).is_some() => usage(format!(
                "`{name}` is a training part and a test part, to measure on: `foldin evaluate`, `tune` and `reproduce` take it by that name; \
                 elsewhere name one of its files"
            )),
            error => error.into(),
        })
    }

    /// Reads the data set and passes on what was skipped or merged.
    pub(crate) fn open(&self, global: &Global) -> anyhow::Result<Dataset> {
        let (dataset, report) = self.open_with_report(global)?;
        for line in report.remarks() {
            global.remark(format!("note: {line}"));
        }
        Ok(dataset)
    }

    /// Reads both parts of a split, `TRAIN,TEST`, as one data set. Another form of split needs `--data`.
    pub(crate) fn open_split(&self, name: &str, spec: &str, global: &Global) -> anyhow::Result<Dataset> {
        let Some((train, test)) = spec.split_once(',') else {
            return self.open(global);
        };
        let (train, test) = (train.trim(), test.trim());
        let (dataset, report) = foldin_data::open_split(name, train, test, &self.options(global)?)?;
        for line in report.remarks() {
            global.remark(format!("note: {line}"));
        }
        Ok(dataset)
    }

    /// As [`DataArgs::open`], with a name to fall back on.
    pub(crate) fn open_or(&self, name: &str, global: &Global) -> anyhow::Result<Dataset> {
        let args = Self { data: Some(self.data.clone().unwrap_or_else(|| name.to_owned())), ..self.clone() };
        args.open(global).with_context(|| match &self.data {
            Some(_) => "reading the data".to_owned(),
            None => format!("reading the model's own data set `{name}`; --data says where it is"),
        })
    }
}
