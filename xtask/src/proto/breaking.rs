//! What a released contract forbids: nothing that a client uses disappears, moves or changes its meaning on the wire or in
//! JSON. What is removed leaves its number and its name reserved for good. Internal packages count too: during an upgrade
//! services of two releases talk to each other.

use std::collections::BTreeSet;

use prost_reflect::{
    Cardinality, DescriptorPool, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, ServiceDescriptor,
};

use super::is_ours;

/// Every way in which `current` breaks what `released` promised.
pub(super) fn breaches(released: &DescriptorPool, current: &DescriptorPool) -> Vec<String> {
    let mut breaches = Vec::new();
    let packages = |pool: &DescriptorPool| -> BTreeSet<String> {
        pool.files().map(|file| file.package_name().to_owned()).filter(|package| is_ours(package)).collect()
    };
    let current_packages = packages(current);
    for package in packages(released).difference(&current_packages) {
        breaches.push(format!("package {package} is gone"));
    }
    let expected = |package: &str| is_ours(package) && current_packages.contains(package);

    for old in released.all_messages().filter(|message| expected(message.package_name())) {
        match current.get_message_by_name(old.full_name()) {
            Some(new) => compare_messages(&old, &new, &mut breaches),
            None => breaches.push(format!("message {} is gone", old.full_name())),
        }
    }
    for old in released.all_enums().filter(|kind| expected(kind.package_name())) {
        match current.get_enum_by_name(old.full_name()) {
            Some(new) => compare_enums(&old, &new, &mut breaches),
            None => breaches.push(format!("enum {} is gone", old.full_name())),
        }
    }
    for old in released.services().filter(|service| expected(service.package_name())) {
        match current.get_service_by_name(old.full_name()) {
            Some(new) => compare_services(&old, &new, &mut breaches),
            None => breaches.push(format!("service {} is gone", old.full_name())),
        }
    }
    for old in released.all_extensions().filter(|extension| expected(extension.package_name())) {
        let name = old.full_name();
        let Some(new) = current.all_extensions().find(|new| new.full_name() == name) else {
            breaches.push(format!("extension {name} is gone"));
            continue;
        };
        changed(&format!("extension {name}: number"), old.number(), new.number(), &mut breaches);
        changed(&format!("extension {name}: type"), type_name(&old.kind()), type_name(&new.kind()), &mut breaches);
    }
    breaches
}

fn compare_messages(old: &MessageDescriptor, new: &MessageDescriptor, breaches: &mut Vec<String>) {
    let message = old.full_name();
    let number_reserved = |number: u32| new.reserved_ranges().any(|range| range.contains(&number));
    let name_reserved = |name: &str| new.reserved_names().any(|reserved| reserved == name);
    for field in old.fields() {
        match new.get_field(field.number()) {
            Some(now) => compare_fields(&field, &now, breaches),
            None => {
                let reserved = number_reserved(field.number()) && name_reserved(field.name());
                if !reserved {
                    let what = format!("field {message}.{} = {} was removed", field.name(), field.number());
                    breaches.push(format!("{what} without reserving its number and its name"));
                }
            }
        }
    }
    for range in old.reserved_ranges() {
        if let Some(number) = range.clone().find(|number| !number_reserved(*number)) {
            breaches.push(format!("message {message}: number {number} is no longer reserved"));
        }
    }
    for name in old.reserved_names().filter(|name| !name_reserved(name)) {
        breaches.push(format!("message {message}: name {name} is no longer reserved"));
    }
}

fn compare_fields(old: &FieldDescriptor, new: &FieldDescriptor, breaches: &mut Vec<String>) {
    let field = format!("field {} = {}", old.full_name(), old.number());
    let oneof = |field: &FieldDescriptor| {
        let oneof = field.containing_oneof().filter(|oneof| !oneof.is_synthetic());
        oneof.map_or_else(|| "none".to_owned(), |oneof| oneof.name().to_owned())
    };
    changed(&format!("{field}: name"), old.name(), new.name(), breaches);
    changed(&format!("{field}: JSON name"), old.json_name(), new.json_name(), breaches);
    changed(&format!("{field}: type"), type_name(&old.kind()), type_name(&new.kind()), breaches);
    changed(&format!("{field}: label"), label(old), label(new), breaches);
    changed(&format!("{field}: oneof"), oneof(old), oneof(new), breaches);
}

fn label(field: &FieldDescriptor) -> &'static str {
    let explicit = field.containing_oneof().is_some_and(|oneof| oneof.is_synthetic());
    match field.cardinality() {
        _ if field.is_map() => "map",
        Cardinality::Repeated => "repeated",
        Cardinality::Required => "required",
        Cardinality::Optional if explicit => "optional",
        Cardinality::Optional => "singular",
    }
}

fn type_name(kind: &Kind) -> String {
    match kind {
        Kind::Message(message) => message.full_name().to_owned(),
        Kind::Enum(kind) => kind.full_name().to_owned(),
        scalar => format!("{scalar:?}").to_lowercase(),
    }
}

fn compare_enums(old: &EnumDescriptor, new: &EnumDescriptor, breaches: &mut Vec<String>) {
    let kind = old.full_name();
    let number_reserved = |number: i32| new.reserved_ranges().any(|range| range.contains(&number));
    let name_reserved = |name: &str| new.reserved_names().any(|reserved| reserved == name);
    for value in old.values() {
        let number = value.number();
        match new.get_value(number) {
            Some(now) => changed(&format!("enum {kind}, value {number}: name"), value.name(), now.name(), breaches),
            None if number_reserved(number) && name_reserved(value.name()) => {}
            None => {
                let what = format!("enum value {kind}.{} = {number} was removed", value.name());
                breaches.push(format!("{what} without reserving its number and its name"));
            }
        }
    }
    for range in old.reserved_ranges() {
        if let Some(number) = range.clone().find(|number| !number_reserved(*number)) {
            breaches.push(format!("enum {kind}: number {number} is no longer reserved"));
        }
    }
    for name in old.reserved_names().filter(|name| !name_reserved(name)) {
        breaches.push(format!("enum {kind}: name {name} is no longer reserved"));
    }
}

fn compare_services(old: &ServiceDescriptor, new: &ServiceDescriptor, breaches: &mut Vec<String>) {
    for method in old.methods() {
        let name = method.full_name();
        let Some(now) = new.methods().find(|now| now.name() == method.name()) else {
            breaches.push(format!("method {name} is gone"));
            continue;
        };
        let streams = |client: bool, server: bool| match (client, server) {
            (false, false) => "neither side",
            (true, false) => "the client",
            (false, true) => "the server",
            (true, true) => "both sides",
        };
        changed(&format!("method {name}: request"), method.input().full_name(), now.input().full_name(), breaches);
        changed(&format!("method {name}: response"), method.output().full_name(), now.output().full_name(), breaches);
        let old_streams = streams(method.is_client_streaming(), method.is_server_streaming());
        let new_streams = streams(now.is_client_streaming(), now.is_server_streaming());
        changed(&format!("method {name}: streaming of"), old_streams, new_streams, breaches);
    }
}

fn changed<T: PartialEq + std::fmt::Display>(what: &str, old: T, new: T, breaches: &mut Vec<String>) {
    if old != new {
        breaches.push(format!("{what} was {old} and is now {new}"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::compile;
    use super::*;

    const RELEASED: &str = r#"
        syntax = "proto3";
        package coffre.a.v1;
        enum Colour { COLOUR_UNSPECIFIED = 0; COLOUR_RED = 1; reserved 7; reserved "COLOUR_OLD"; }
        message Thing {
            reserved 9 to 10;
            reserved "old";
            int64 id = 1;
            optional string name = 2;
            repeated string words = 3;
            map<string, int64> counts = 4;
            oneof choice { string left = 5; Colour right = 6; }
            Part part = 7;
            message Part { bytes data = 1; }
        }
        message GetThingRequest {}
        message GetThingResponse {}
        service ThingService {
            rpc GetThing(GetThingRequest) returns (GetThingResponse);
            rpc WatchThing(GetThingRequest) returns (stream GetThingResponse);
        }
    "#;

    /// What the check says once `old` became `new`.
    fn after(old: &str, new: &str) -> Vec<String> {
        assert!(RELEASED.contains(old), "{old}");
        let path = "coffre/a/v1/a.proto";
        let changed = RELEASED.replacen(old, new, 1);
        breaches(&compile(&[(path, RELEASED)]), &compile(&[(path, &changed)]))
    }

    #[test]
    fn additions_are_compatible() {
        assert_eq!(after("int64 id = 1;", "int64 id = 1; string more = 8;"), [""; 0]);
        assert_eq!(after("COLOUR_RED = 1;", "COLOUR_RED = 1; COLOUR_BLUE = 2;"), [""; 0]);
        assert_eq!(after("message GetThingRequest", "message More {} message GetThingRequest"), [""; 0]);
        assert_eq!(after("service ThingService {", "service ThingService { rpc A(Thing) returns (Thing);"), [""; 0]);
    }

    #[test]
    fn a_removed_field_leaves_its_number_and_name_reserved() {
        let gone = after("int64 id = 1;", "");
        assert_eq!(gone, ["field coffre.a.v1.Thing.id = 1 was removed without reserving its number and its name"]);
        assert_eq!(after("int64 id = 1;", "reserved 1;").len(), 1);
        assert_eq!(after("int64 id = 1;", "reserved \"id\";").len(), 1);
        assert_eq!(after("int64 id = 1;", "reserved 1; reserved \"id\";"), [""; 0]);
    }

    #[test]
    fn what_was_reserved_stays_reserved() {
        assert_eq!(
            after("reserved 9 to 10;", "reserved 9;"),
            ["message coffre.a.v1.Thing: number 10 is no longer reserved"]
        );
        assert_eq!(after("reserved \"old\";", ""), ["message coffre.a.v1.Thing: name old is no longer reserved"]);
        assert_eq!(after("reserved 7;", ""), ["enum coffre.a.v1.Colour: number 7 is no longer reserved"]);
        assert_eq!(
            after("reserved \"COLOUR_OLD\";", ""),
            ["enum coffre.a.v1.Colour: name COLOUR_OLD is no longer reserved"]
        );
    }

    #[test]
    fn a_renamed_or_renumbered_field_is_found() {
        let renamed = after("int64 id = 1;", "int64 number = 1;");
        assert_eq!(renamed.len(), 2, "the name and the JSON name: {renamed:?}");
        assert_eq!(after("int64 id = 1;", "int64 id = 11;").len(), 1);
        let json = after("int64 id = 1;", "int64 id = 1 [json_name = \"ID\"];");
        assert_eq!(json, ["field coffre.a.v1.Thing.id = 1: JSON name was id and is now ID"]);
    }

    #[test]
    fn a_changed_type_is_found() {
        let scalar = after("int64 id = 1;", "int32 id = 1;");
        assert_eq!(scalar, ["field coffre.a.v1.Thing.id = 1: type was int64 and is now int32"]);
        assert_eq!(after("Part part = 7;", "GetThingRequest part = 7;").len(), 1);
        assert_eq!(after("Colour right = 6;", "int32 right = 6;").len(), 1);
        assert_eq!(after("map<string, int64> counts", "map<string, string> counts").len(), 1);
    }

    #[test]
    fn a_changed_label_is_found() {
        let label = after("int64 id = 1;", "optional int64 id = 1;");
        assert_eq!(label, ["field coffre.a.v1.Thing.id = 1: label was singular and is now optional"]);
        assert_eq!(after("optional string name = 2;", "string name = 2;").len(), 1);
        assert_eq!(after("repeated string words = 3;", "string words = 3;").len(), 1);
    }

    #[test]
    fn a_field_that_leaves_or_enters_a_oneof_is_found() {
        let left = after("oneof choice { string left = 5;", "string left = 5; oneof choice {");
        assert_eq!(left, ["field coffre.a.v1.Thing.left = 5: oneof was choice and is now none"]);
        assert_eq!(after("oneof choice {", "oneof selection {").len(), 2);
    }

    #[test]
    fn a_removed_or_renamed_enum_value_is_found() {
        let gone = after("COLOUR_RED = 1;", "");
        assert_eq!(
            gone,
            ["enum value coffre.a.v1.Colour.COLOUR_RED = 1 was removed without reserving its number and its name"]
        );
        assert_eq!(after("COLOUR_RED = 1;", "reserved 1; reserved \"COLOUR_RED\";"), [""; 0]);
        let renamed = after("COLOUR_RED = 1;", "COLOUR_CRIMSON = 1;");
        assert_eq!(renamed, ["enum coffre.a.v1.Colour, value 1: name was COLOUR_RED and is now COLOUR_CRIMSON"]);
    }

    #[test]
    fn removed_elements_are_found() {
        let moved = after("message Part { bytes data = 1; }\n        }", "} message Part { bytes data = 1; }");
        assert!(moved.contains(&"message coffre.a.v1.Thing.Part is gone".to_owned()), "{moved:?}");
        let renamed = RELEASED.replace("Colour", "Color");
        let path = "coffre/a/v1/a.proto";
        let found = breaches(&compile(&[(path, RELEASED)]), &compile(&[(path, &renamed)]));
        assert!(found.contains(&"enum coffre.a.v1.Colour is gone".to_owned()), "{found:?}");
        let moved = RELEASED.replace("coffre.a.v1", "coffre.b.v1");
        let found = breaches(&compile(&[(path, RELEASED)]), &compile(&[("coffre/b/v1/b.proto", &moved)]));
        assert_eq!(found, ["package coffre.a.v1 is gone"]);
    }

    #[test]
    fn changed_services_are_found() {
        let gone = after("rpc GetThing(GetThingRequest) returns (GetThingResponse);", "");
        assert_eq!(gone, ["method coffre.a.v1.ThingService.GetThing is gone"]);
        assert_eq!(after("service ThingService", "service ItemService"), ["service coffre.a.v1.ThingService is gone"]);
        assert_eq!(after("GetThing(GetThingRequest)", "GetThing(Thing)").len(), 1);
        assert_eq!(after("returns (GetThingResponse)", "returns (Thing)").len(), 1);
        let streaming = after("returns (stream GetThingResponse)", "returns (GetThingResponse)");
        assert_eq!(streaming.len(), 1);
        assert_eq!(after("GetThing(GetThingRequest)", "GetThing(stream GetThingRequest)").len(), 1);
    }
}
