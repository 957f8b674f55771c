//! The style of the contract: names, comments, field rules, error reasons. There is no way to switch a rule off in a proto.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use prost_reflect::{
    DescriptorPool, DynamicMessage, EnumDescriptor, FieldDescriptor, FileDescriptor, Kind, MessageDescriptor,
    MethodDescriptor, Syntax, Value,
};

use super::is_ours;

const RULES: &str = "coffre.options.v1.rules";
const CODE: &str = "coffre.options.v1.code";
const REASONS: &str = "coffre.error.v1.ErrorReason";

/// Every breach of style in our own files.
pub(super) fn breaches(pool: &DescriptorPool) -> Result<Vec<String>> {
    let mut lint = Lint { reasons: reasons(pool), breaches: Vec::new() };
    for file in pool.files().filter(|file| is_ours(file.package_name()) || !file.name().starts_with("google/")) {
        lint.file(&file);
    }
    lint.requests(pool);
    if let Some(reasons) = pool.get_enum_by_name(REASONS) {
        lint.error_reasons(&reasons);
    }
    Ok(lint.breaches)
}

/// The reasons that a comment may name: without their prefix.
fn reasons(pool: &DescriptorPool) -> BTreeSet<String> {
    let reasons = pool.get_enum_by_name(REASONS);
    let values =
        reasons.iter().flat_map(|reasons| reasons.values().map(|value| value.name().to_owned()).collect::<Vec<_>>());
    values.map(|name| name.trim_start_matches("ERROR_REASON_").to_owned()).collect()
}

struct Lint {
    reasons: BTreeSet<String>,
    breaches: Vec<String>,
}

impl Lint {
    fn breach(&mut self, element: &str, what: impl AsRef<str>) {
        self.breaches.push(format!("{element}: {}", what.as_ref()));
    }

    fn demand(&mut self, holds: bool, element: &str, what: &str) {
        if !holds {
            self.breach(element, what);
        }
    }

    fn file(&mut self, file: &FileDescriptor) {
        let (name, package) = (file.name(), file.package_name());
        let (folder, base) = name.rsplit_once('/').unwrap_or(("", name));
        self.demand(file.syntax() == Syntax::Proto3, name, "the syntax is not proto3");
        self.demand(folder == package.replace('.', "/"), name, &format!("the package {package} is not its folder"));
        self.demand(
            is_version(package.rsplit('.').next().unwrap_or_default()),
            name,
            "the package does not end in a version such as v1",
        );
        self.demand(package.split('.').all(is_lower_snake), name, "a part of the package is not lower_snake_case");
        self.demand(
            base.strip_suffix(".proto").is_some_and(is_lower_snake),
            name,
            "the file's name is not lower_snake_case",
        );
        self.demand(
            comment(file, &[12]).is_some(),
            name,
            "a comment in front of `syntax` must say what the file is for",
        );
        self.imports(file);
        for message in file.messages() {
            self.message(file, &message);
        }
        for kind in file.enums() {
            self.enumeration(file, &kind);
        }
        for service in file.services() {
            let element = service.full_name();
            self.comment(file, service.path(), element);
            let named = is_pascal(service.name()) && service.name().ends_with("Service");
            self.demand(named, element, "a service's name is PascalCase and ends in Service");
            for method in service.methods() {
                self.method(file, &method);
            }
        }
        for extension in file.extensions() {
            self.comment(file, extension.path(), extension.full_name());
            self.demand(is_lower_snake(extension.name()), extension.full_name(), "the name is not lower_snake_case");
        }
    }

    fn imports(&mut self, file: &FileDescriptor) {
        let used = used_files(file);
        let descriptor = file.file_descriptor_proto();
        self.demand(descriptor.public_dependency.is_empty(), file.name(), "it has a public import");
        for import in descriptor.dependency.iter().filter(|import| !used.contains(*import)) {
            self.breach(file.name(), format!("it imports {import} and uses nothing of it"));
        }
    }

    fn message(&mut self, file: &FileDescriptor, message: &MessageDescriptor) {
        if message.is_map_entry() {
            return;
        }
        let element = message.full_name();
        self.comment(file, message.path(), element);
        self.demand(is_pascal(message.name()), element, "a message's name is PascalCase");
        for field in message.fields() {
            self.comment(file, field.path(), field.full_name());
            self.demand(is_lower_snake(field.name()), field.full_name(), "a field's name is lower_snake_case");
        }
        for oneof in message.oneofs().filter(|oneof| !oneof.is_synthetic()) {
            self.comment(file, oneof.path(), oneof.full_name());
            self.demand(is_lower_snake(oneof.name()), oneof.full_name(), "a oneof's name is lower_snake_case");
        }
        for nested in message.child_messages() {
            self.message(file, &nested);
        }
        for nested in message.child_enums() {
            self.enumeration(file, &nested);
        }
    }

    fn enumeration(&mut self, file: &FileDescriptor, kind: &EnumDescriptor) {
        let element = kind.full_name();
        self.comment(file, kind.path(), element);
        self.demand(is_pascal(kind.name()), element, "an enum's name is PascalCase");
        let prefix = format!("{}_", upper_snake(kind.name()));
        let mut numbers = BTreeSet::new();
        for value in kind.values() {
            let element = format!("{element}.{}", value.name());
            self.comment(file, value.path(), &element);
            let named = value.name().strip_prefix(&prefix).is_some_and(is_upper_snake);
            self.demand(named, &element, &format!("an enum value is UPPER_SNAKE_CASE and begins with {prefix}"));
            let unspecified = value.name() == format!("{prefix}UNSPECIFIED");
            self.demand(
                (value.number() == 0) == unspecified,
                &element,
                &format!("{prefix}UNSPECIFIED, and it alone, is 0"),
            );
            self.demand(numbers.insert(value.number()), &element, "two values share this number");
        }
    }

    fn method(&mut self, file: &FileDescriptor, method: &MethodDescriptor) {
        let element = method.full_name();
        self.comment(file, method.path(), element);
        self.demand(is_pascal(method.name()), element, "an RPC's name is PascalCase");
        let package = file.package_name();
        for (message, role) in [(method.input(), "Request"), (method.output(), "Response")] {
            let own = format!("{package}.{}{role}", method.name());
            self.demand(message.full_name() == own, element, &format!("its {} is not {own}", role.to_lowercase()));
        }
        let Some(text) = comment(file, method.path()) else { return };
        // What services say to each other is read beside the code that does it.
        if !package.split('.').any(|part| part == "internal") {
            let told = text.contains("Errors:") || text.contains("be repeated");
            self.demand(told, element, "the comment neither lists `Errors:` nor says whether the call may be repeated");
        }
        for word in errors_named(&text) {
            if !self.reasons.contains(&word) {
                self.breach(element, format!("the comment names {word}, which is no value of {REASONS}"));
            }
        }
    }

    /// Fields of requests, and of messages that only requests use, say who fills them.
    fn requests(&mut self, pool: &DescriptorPool) {
        let ours = || pool.services().filter(|service| is_ours(service.package_name()));
        let methods: Vec<MethodDescriptor> = ours().flat_map(|service| service.methods().collect::<Vec<_>>()).collect();
        let in_responses = reachable(methods.iter().map(MethodDescriptor::output));
        for (name, message) in reachable(methods.iter().map(MethodDescriptor::input)) {
            if in_responses.contains_key(&name) || !is_ours(message.package_name()) || message.is_map_entry() {
                continue;
            }
            for field in message.fields() {
                match behavior(&field) {
                    Some(number) if number != 0 => {}
                    _ => self
                        .breach(field.full_name(), format!("a field of a request carries ({RULES}) with a behavior")),
                }
            }
        }
    }

    fn error_reasons(&mut self, reasons: &EnumDescriptor) {
        let file = reasons.parent_file();
        let mut codes: BTreeMap<String, String> = BTreeMap::new();
        for value in reasons.values().filter(|value| value.number() != 0) {
            let element = format!("{}.{}", reasons.name(), value.name());
            let code = extension(&value.options(), CODE);
            let code = code.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned();
            self.demand(is_dotted(&code), &element, &format!("({CODE}) is missing or no dotted lower-case word"));
            if let Some(other) = codes.insert(code.clone(), value.name().to_owned()) {
                self.breach(&element, format!("its code `{code}` is also that of {other}"));
            }
            let text = comment(&file, value.path()).unwrap_or_default();
            let short = value.name().trim_start_matches("ERROR_REASON_");
            let example = text
                .split_once("Example:")
                .is_some_and(|(_, example)| example.contains(&format!("\"reason\": \"{short}\"")));
            self.demand(example, &element, &format!("the comment has no `Example:` with \"reason\": \"{short}\""));
        }
    }

    fn comment(&mut self, file: &FileDescriptor, path: &[i32], element: &str) {
        self.demand(comment(file, path).is_some(), element, "it has no comment in front of it");
    }
}

/// The comment in front of an element.
fn comment(file: &FileDescriptor, path: &[i32]) -> Option<String> {
    let info = file.file_descriptor_proto().source_code_info.as_ref()?;
    let location = info.location.iter().find(|location| location.path == path)?;
    let text = location.leading_comments().trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// The reasons that a comment lists after `Errors:`, up to the end of that sentence or an explanation after it.
fn errors_named(comment: &str) -> Vec<String> {
    let Some((_, list)) = comment.split_once("Errors:") else { return Vec::new() };
    let words = list.split(|sign: char| !(sign.is_ascii_uppercase() || sign.is_ascii_digit() || sign == '_'));
    words.filter(|word| word.contains('_') && word.len() > 3).map(str::to_owned).collect()
}

/// An option's value, by the full name of its extension.
fn extension(options: &DynamicMessage, name: &str) -> Option<Value> {
    options.extensions().find(|(extension, _)| extension.full_name() == name).map(|(_, value)| value.clone())
}

fn behavior(field: &FieldDescriptor) -> Option<i32> {
    let rules = extension(&field.options(), RULES)?;
    rules.as_message()?.get_field_by_name("behavior")?.as_enum_number()
}

/// The messages reached from some, by name.
fn reachable(from: impl Iterator<Item = MessageDescriptor>) -> BTreeMap<String, MessageDescriptor> {
    let mut reached = BTreeMap::new();
    let mut open: Vec<MessageDescriptor> = from.collect();
    while let Some(message) = open.pop() {
        if reached.insert(message.full_name().to_owned(), message.clone()).is_none() {
            open.extend(message.fields().filter_map(|field| field.kind().as_message().cloned()));
        }
    }
    reached
}

/// The files of which a file uses something.
fn used_files(file: &FileDescriptor) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    let mut messages: Vec<MessageDescriptor> = file.messages().collect();
    let mut enums: Vec<EnumDescriptor> = file.enums().collect();
    let mut options: Vec<DynamicMessage> = vec![file.options()];
    let kind_file = |kind: &Kind| match kind {
        Kind::Message(message) => Some(message.parent_file().name().to_owned()),
        Kind::Enum(kind) => Some(kind.parent_file().name().to_owned()),
        _ => None,
    };
    while let Some(message) = messages.pop() {
        messages.extend(message.child_messages());
        enums.extend(message.child_enums());
        options.push(message.options());
        for field in message.fields() {
            used.extend(kind_file(&field.kind()));
            options.push(field.options());
        }
    }
    for kind in enums {
        options.push(kind.options());
        options.extend(kind.values().map(|value| value.options()));
    }
    for service in file.services() {
        options.push(service.options());
        for method in service.methods() {
            used.insert(method.input().parent_file().name().to_owned());
            used.insert(method.output().parent_file().name().to_owned());
            options.push(method.options());
        }
    }
    for extension in file.extensions() {
        used.insert(extension.containing_message().parent_file().name().to_owned());
        used.extend(kind_file(&extension.kind()));
    }
    for option in options {
        used.extend(option.extensions().map(|(extension, _)| extension.parent_file().name().to_owned()));
    }
    used
}

fn is_version(part: &str) -> bool {
    part.strip_prefix('v').is_some_and(|number| number.parse::<u32>().is_ok_and(|number| number > 0))
}

fn is_lower_snake(name: &str) -> bool {
    is_snake(name, |sign| sign.is_ascii_lowercase())
}

fn is_upper_snake(name: &str) -> bool {
    is_snake(name, |sign| sign.is_ascii_uppercase())
}

fn is_snake(name: &str, letter: impl Fn(char) -> bool) -> bool {
    name.starts_with(&letter)
        && name
            .split('_')
            .all(|part| !part.is_empty() && part.chars().all(|sign| letter(sign) || sign.is_ascii_digit()))
}

fn is_pascal(name: &str) -> bool {
    name.starts_with(|sign: char| sign.is_ascii_uppercase()) && name.chars().all(|sign| sign.is_ascii_alphanumeric())
}

fn is_dotted(code: &str) -> bool {
    code.split('.').all(is_lower_snake)
}

/// `ActivityType` as `ACTIVITY_TYPE`.
fn upper_snake(name: &str) -> String {
    let mut upper = String::new();
    let mut signs = name.chars().peekable();
    let mut previous_lower = false;
    while let Some(sign) = signs.next() {
        let ends_acronym = signs.peek().is_some_and(char::is_ascii_lowercase);
        if sign.is_ascii_uppercase() && !upper.is_empty() && (previous_lower || ends_acronym) {
            upper.push('_');
        }
        previous_lower = !sign.is_ascii_uppercase();
        upper.push(sign.to_ascii_uppercase());
    }
    upper
}

#[cfg(test)]
mod tests;
