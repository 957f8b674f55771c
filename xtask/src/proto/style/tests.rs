use super::super::testing::compile;
use super::*;

const REASONS_FILE: (&str, &str) = (
    "coffre/error/v1/error_reason.proto",
    r#"
    // Reasons.
    syntax = "proto3";
    package coffre.error.v1;
    import "coffre/options/v1/rules.proto";
    // A reason.
    enum ErrorReason {
        // None.
        ERROR_REASON_UNSPECIFIED = 0;
        // Not there. Example: `{"reason": "THING_NOT_FOUND"}`.
        ERROR_REASON_THING_NOT_FOUND = 1 [(coffre.options.v1.code) = "thing.not_found"];
        // Taken. Example: `{"reason": "THING_TAKEN"}`.
        ERROR_REASON_THING_TAKEN = 2 [(coffre.options.v1.code) = "thing.taken"];
    }
    "#,
);

const GOOD: &str = r#"
    // Things.
    syntax = "proto3";
    package coffre.a.v1;
    import "coffre/options/v1/rules.proto";

    // Keeps things.
    service ThingService {
        // Returns a thing.
        //
        // Errors: THING_NOT_FOUND. May be repeated.
        rpc GetThing(GetThingRequest) returns (GetThingResponse);
    }
    // Which one.
    message GetThingRequest {
        // Its id.
        int64 id = 1 [(coffre.options.v1.rules) = { behavior: BEHAVIOR_REQUIRED }];
        // How.
        How how = 2 [(coffre.options.v1.rules) = { behavior: BEHAVIOR_OPTIONAL }];
        // Shared.
        Shared shared = 3 [(coffre.options.v1.rules) = { behavior: BEHAVIOR_OPTIONAL }];
    }
    // How to get it.
    message How {
        // Fast.
        bool fast = 1 [(coffre.options.v1.rules) = { behavior: BEHAVIOR_OPTIONAL }];
    }
    // In requests and in responses.
    message Shared {
        // A choice.
        oneof choice {
            // Left.
            string left = 1;
            // Right.
            string right = 2;
        }
        // Counts.
        map<string, int64> counts = 3;
        // Perhaps.
        optional bool perhaps = 4;
    }
    // The thing.
    message GetThingResponse {
        // Its colour.
        Colour colour = 1;
        // Shared.
        Shared shared = 2;
    }
    // A colour.
    enum Colour {
        // None.
        COLOUR_UNSPECIFIED = 0;
        // Red.
        COLOUR_RED = 1;
    }
"#;

fn found_in(path: &str, text: &str) -> Vec<String> {
    breaches(&compile(&[(path, text), REASONS_FILE])).unwrap()
}

/// What the lint says once `old` became `new` in a file without a breach.
fn after(old: &str, new: &str) -> Vec<String> {
    assert!(GOOD.contains(old), "{old}");
    found_in("coffre/a/v1/thing_service.proto", &GOOD.replacen(old, new, 1))
}

#[track_caller]
fn one(found: Vec<String>, part: &str) {
    assert!(found.len() == 1 && found[0].contains(part), "expected one breach with `{part}`: {found:#?}");
}

#[test]
fn a_file_in_order_has_no_breach() {
    assert_eq!(after("// Things.", "// Things."), [""; 0]);
}

#[test]
fn the_package_is_the_folder_and_ends_in_a_version() {
    one(found_in("coffre/b/v1/thing_service.proto", GOOD), "is not its folder");
    let unversioned = GOOD.replace("package coffre.a.v1;", "package coffre.a;");
    one(found_in("coffre/a/thing_service.proto", &unversioned), "does not end in a version");
    one(found_in("coffre/a/v1/ThingService.proto", GOOD), "the file's name");
}

#[test]
fn every_element_has_a_comment() {
    for comment in [
        "// Things.",
        "// Keeps things.",
        "// Which one.",
        "// Its id.",
        "// A choice.",
        "// Left.",
        "// Counts.",
        "// Perhaps.",
        "// A colour.",
        "// None.",
        "// Red.",
    ] {
        one(after(comment, ""), "comment");
    }
    let rpc = after("// Returns a thing.\n        //\n        // Errors: THING_NOT_FOUND. May be repeated.", "");
    one(rpc, "GetThing: it has no comment");
    one(after("// Its id.\n", "//\n"), "comment");
}

#[test]
fn extensions_and_nested_elements_have_comments_too() {
    one(
        after("// Fast.", "// In.\n enum In {\n // None.\n IN_UNSPECIFIED = 0; }\n message Deep {}\n // Fast."),
        "Deep: it has no comment",
    );
    let extension = "import \"google/protobuf/descriptor.proto\"; extend google.protobuf.FieldOptions { bool quick = 51099; }\n// Keeps things.";
    one(after("// Keeps things.", extension), "quick: it has no comment");
}

#[test]
fn names_have_the_case_of_their_kind() {
    one(after("bool fast = 1", "bool veryFast = 1"), "lower_snake_case");
    one(after("oneof choice", "oneof Choice"), "lower_snake_case");
    one(after("service ThingService", "service Things"), "ends in Service");
    assert_eq!(GOOD.matches("Colour").count(), 2);
    let found = found_in("coffre/a/v1/thing_service.proto", &GOOD.replace("Colour", "colour"));
    one(found, "PascalCase");
}

#[test]
fn enum_values_carry_the_name_of_their_enum_and_zero_is_unspecified() {
    one(after("COLOUR_RED = 1", "RED = 1"), "begins with COLOUR_");
    one(after("COLOUR_UNSPECIFIED = 0", "COLOUR_NONE = 0"), "is 0");
    assert_eq!(upper_snake("ActivityType"), "ACTIVITY_TYPE");
    assert_eq!(upper_snake("RSAKey"), "RSA_KEY");
}

#[test]
fn an_rpc_has_a_request_and_a_response_of_its_own() {
    one(after("returns (GetThingResponse)", "returns (Shared)"), "its response is not");
    let other = after("rpc GetThing(GetThingRequest)", "rpc GetThing(Shared)");
    assert!(other.iter().any(|breach| breach.contains("its request is not")), "{other:#?}");
}

#[test]
fn a_public_rpc_tells_its_errors_and_names_known_ones() {
    one(after("// Errors: THING_NOT_FOUND. May be repeated.", "// Fine."), "neither lists");
    assert_eq!(after("// Errors: THING_NOT_FOUND. May be repeated.", "// May be repeated."), [""; 0]);
    one(after("Errors: THING_NOT_FOUND", "Errors: THING_LOST"), "names THING_LOST");
    let internal = GOOD
        .replace("coffre.a.v1", "coffre.a.internal.v1")
        .replace("// Errors: THING_NOT_FOUND. May be repeated.", "// Fine.");
    assert_eq!(found_in("coffre/a/internal/v1/thing_service.proto", &internal), [""; 0]);
}

#[test]
fn every_field_of_a_request_says_who_fills_it() {
    one(
        after("int64 id = 1 [(coffre.options.v1.rules) = { behavior: BEHAVIOR_REQUIRED }];", "int64 id = 1;"),
        "GetThingRequest.id",
    );
    one(after("behavior: BEHAVIOR_REQUIRED", "max_bytes: 3"), "GetThingRequest.id");
    one(
        after("bool fast = 1 [(coffre.options.v1.rules) = { behavior: BEHAVIOR_OPTIONAL }];", "bool fast = 1;"),
        "How.fast",
    );
    // A message that responses use as well is described by its comments.
    assert_eq!(after("// Shared.\n        Shared shared = 2;\n", "").len(), 4);
}

#[test]
fn an_import_that_nothing_uses_is_found() {
    one(after("import \"coffre", "import \"google/protobuf/timestamp.proto\"; import \"coffre"), "uses nothing of it");
}

#[test]
fn error_reasons_have_a_code_of_their_own_and_an_example() {
    let with = |old: &str, new: &str| {
        assert!(REASONS_FILE.1.contains(old), "{old}");
        breaches(&compile(&[(REASONS_FILE.0, &REASONS_FILE.1.replacen(old, new, 1))])).unwrap()
    };
    one(with(" [(coffre.options.v1.code) = \"thing.taken\"]", ""), "is missing");
    one(with("\"thing.taken\"", "\"Thing.Taken\""), "no dotted");
    one(with("\"thing.taken\"", "\"thing.not_found\""), "is also that of");
    one(with("Example: `{\"reason\": \"THING_TAKEN\"}`", "Nothing more"), "no `Example:`");
    one(with("\"reason\": \"THING_TAKEN\"", "\"reason\": \"THING_GONE\""), "no `Example:`");
}
