//! How the answer looks, and the exit code that goes with it.

use std::io::Write;

use coffre_audit_proof::verify::{Finding, Report, Verdict};
use coffre_audit_proof::words::WORDS;
use serde_json::{Value, json};

use super::super::super::fault::Fault;
use super::super::super::shown::Shown;
use super::super::plain::plain;
use super::values::Values;

/// Of what it was.
pub(super) enum Of {
    /// A file, which says by what its entries were chosen where they are not all.
    File { filter: Option<String> },
    /// The log of the server.
    Server,
}

/// What was checked.
pub(super) struct Checked {
    pub(super) report: Report,
    pub(super) of: Of,
    /// The key was given, and is not the log's own word.
    pub(super) key_given: bool,
    pub(super) values: Option<Values>,
    /// Why the values were not compared, where they should have been.
    pub(super) uncompared: Option<Fault>,
    /// How many incidents the server tells of.
    pub(super) incidents: i64,
}

impl Checked {
    /// Prints what came out; anything but a whole record is a fault, so that the exit code says it.
    pub(super) fn tell(self, out: &mut impl Write, as_json: bool) -> Result<(), Fault> {
        Shown { text: self.text(), json: self.json() }.print_plain(out, as_json)?;
        let (verdict, headline) = (self.verdict(), self.headline());
        match (verdict, self.uncompared) {
            (Verdict::Damaged, _) => Err(Fault::damaged(headline)),
            (_, Some(fault)) => Err(fault),
            (Verdict::Whole, None) => Ok(()),
            (Verdict::Picked, None) => Err(Fault::picked(headline)),
            (Verdict::NotAnchored | Verdict::Unread, None) => Err(Fault::not_anchored(headline)),
        }
    }

    fn verdict(&self) -> Verdict {
        match &self.values {
            Some(values) if values.total > 0 => Verdict::Damaged,
            _ => self.report.verdict(),
        }
    }

    fn total(&self) -> u64 {
        self.report.total_findings + self.values.as_ref().map_or(0, |values| values.total)
    }

    /// One sentence.
    fn headline(&self) -> String {
        let Report { entries, size, anchored, unproven, witnessed, unread, .. } = &self.report;
        match self.verdict() {
            Verdict::Damaged if self.total() == 1 => "the record is damaged: 1 finding".to_owned(),
            Verdict::Damaged => format!("the record is damaged: {} findings", self.total()),
            Verdict::Picked => format!(
                "a part of the record: the {entries} entries are recorded ones, and a witness vouches for them; whether others are missing cannot be told"
            ),
            Verdict::Unread => format!(
                "not compared: nothing wrong was found, and a witness vouches for it, but what the entries say in words (eventDescription, detail) \
                 is in version {} of the words, and this program knows version {WORDS}: use the program that wrote it, or leave them out (--other-words)",
                unread.unwrap_or_default()
            ),
            Verdict::Whole => format!("the record of {entries} entries is whole, and a witness vouches for it"),
            Verdict::NotAnchored if *unproven > 0 => {
                format!("not proved: {unproven} of {entries} entries bring no proof (a part of the log can be verified only entry by entry)")
            }
            Verdict::NotAnchored if witnessed.is_none() => {
                "not anchored: nothing wrong was found, but no witness vouches for it (--witness): whoever holds the server and its key could have written it anew".to_owned()
            }
            Verdict::NotAnchored => format!(
                "not anchored: nothing wrong was found, but the witness vouches for the first {anchored} of {size} entries only"
            ),
        }
    }

    /// A finding, and what else it may come from.
    fn told(&self, finding: &Finding) -> String {
        match (&self.of, finding) {
            (Of::File { .. }, Finding::Behind { .. }) => {
                format!("{finding}; if the file was written before that, say --older")
            }
            _ => finding.to_string(),
        }
    }

    fn text(&self) -> String {
        let report = &self.report;
        let mut lines = vec![self.headline(), format!("entries     {} were checked", report.entries)];
        if let Some(time) = report.time {
            lines.push(format!("checkpoint  {} of {} entries", time.to_rfc3339_micros(), report.size));
        }
        if let Of::File { filter: Some(filter) } = &self.of {
            lines.push(format!("chosen by   {filter} (the file's own word)"));
        }
        if report.cut > 0 {
            lines.push(format!("cut         the entries below {} were removed by a cut that is signed", report.cut));
        }
        if let Some(sizes) = report.witnessed {
            lines.push(format!(
                "witness     saw {sizes} checkpoints and vouches for the first {} entries",
                report.anchored
            ));
        }
        if report.half_notes > 0 {
            lines.push(format!(
                "            {} notes were not written to their end; that is no damage",
                report.half_notes
            ));
        }
        if report.foreign_notes > 0 {
            lines.push(format!("            {} notes are of other logs", report.foreign_notes));
        }
        let word = if self.key_given { "" } else { " (the log's own word: compare it with yours, or give --key)" };
        lines.push(format!("key         {}{word}", report.key));
        if let Some(values) = &self.values {
            lines.push(format!("values      {} were compared with their seals", values.compared));
            if values.cut_off > 0 {
                lines.push(format!(
                    "            {} were written before the cut and cannot be compared: their seals went with it",
                    values.cut_off
                ));
            }
        }
        if let Some(fault) = &self.uncompared {
            lines.push(format!("values      were not compared: {fault}"));
        }
        if self.incidents > 0 {
            lines.push(format!("incidents   the server tells of {}: coffre audit incidents", self.incidents));
        }
        lines.extend(report.findings.iter().map(|finding| format!("- {}", self.told(finding))));
        lines.extend(self.values.iter().flat_map(|values| &values.findings).map(|finding| format!("- {finding}")));
        let kept = report.findings.len() + self.values.as_ref().map_or(0, |values| values.findings.len());
        if self.total() > kept as u64 {
            lines.push(format!("- and {} more", self.total() - kept as u64));
        }
        lines.iter().map(|line| plain(line)).collect::<Vec<_>>().join("\n")
    }

    fn json(&self) -> Value {
        let report = &self.report;
        let findings: Vec<Value> = report
            .findings
            .iter()
            .map(|finding| json!({"kind": finding.kind(), "message": self.told(finding)}))
            .collect();
        let values = self.values.as_ref().map(|values| {
            let findings: Vec<Value> = values
                .findings
                .iter()
                .map(|finding| json!({"kind": finding.kind(), "message": finding.to_string()}))
                .collect();
            json!({"compared": values.compared, "cutOff": values.cut_off, "findings": findings, "totalFindings": values.total})
        });
        json!({
            "verdict": match self.verdict() {
                Verdict::Whole => "whole",
                Verdict::Picked => "picked",
                Verdict::Unread => "unread",
                Verdict::NotAnchored => "notAnchored",
                Verdict::Damaged => "damaged",
            },
            "message": self.headline(),
            "entries": report.entries,
            "size": report.size.to_string(),
            "cut": report.cut.to_string(),
            "checkpointOn": report.time.map(|time| time.to_rfc3339_micros()),
            "picked": report.picked,
            "filter": match &self.of {
                Of::File { filter } => filter.as_deref(),
                Of::Server => None,
            },
            "unreadWords": report.unread,
            "unproven": report.unproven,
            "anchored": report.anchored.to_string(),
            "witnessed": report.witnessed,
            "halfNotes": report.half_notes,
            "foreignNotes": report.foreign_notes,
            "verifierKey": report.key,
            "keyGiven": self.key_given,
            "findings": findings,
            "totalFindings": report.total_findings,
            "values": values,
            "valuesRefused": self.uncompared.as_ref().map(ToString::to_string),
            "incidents": self.incidents,
        })
    }
}
