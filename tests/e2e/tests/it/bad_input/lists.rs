//! Bodies of lists.

use coffre_e2e::case::Case;
use serde_json::{Value, json};

use super::{CREDENTIALS, Untouched, refused};

rest_cases! {
    odd_filters_are_refused,
    every_documented_form_of_a_list_is_taken,
}

async fn odd_filters_are_refused(case: &Case<'_>) {
    let it = Untouched::new(case).await;
    let filter = |filter: Value| json!({"filter": filter});
    let wide: Vec<Value> = (0..65).map(|_| json!({"operator": "eq", "field": "name", "value": "x"})).collect();
    for (body, code) in [
        (filter(json!({"operator": "eq", "field": "secret", "value": "x"})), "list.field_unknown"),
        (
            filter(json!({"operator": "eq", "field": "NAME; DROP TABLE credentials", "value": "x"})),
            "list.field_unknown",
        ),
        (json!({"sort": [{"field": "value", "direction": "asc"}]}), "list.field_unknown"),
        (filter(json!({"operator": "like", "field": "name", "value": "x"})), "request.invalid"),
        (filter(json!({"operator": "eq", "value": "x"})), "request.invalid"),
        (filter(json!({"operator": "eq", "field": 5, "value": "x"})), "request.invalid"),
        (filter(json!({"operator": "eq", "field": "name", "value": {}})), "request.invalid"),
        (filter(json!({"operator": "and"})), "request.invalid"),
        (filter(json!({"operator": "and", "operands": "x"})), "request.invalid"),
        (filter(json!({"operator": "not", "operands": []})), "request.invalid"),
        (
            filter(
                json!({"operator": "not", "operands": [{"operator": "eq", "field": "name", "value": "a"}, {"operator": "eq", "field": "name", "value": "b"}]}),
            ),
            "request.invalid",
        ),
        (filter(json!({"operator": "or", "operands": wide})), "request.invalid"),
        (filter(json!({"operator": "eq", "field": "id", "value": "abc"})), "request.invalid"),
        (filter(json!({"operator": "eq", "field": "createdOn", "value": "yesterday"})), "request.invalid"),
        (filter(json!({"operator": "substring", "field": "name", "value": "ab"})), "request.invalid"),
        (filter(json!({"operator": "substring", "field": "id", "value": "123"})), "request.invalid"),
        (filter(json!([])), "request.invalid"),
        (filter(json!(5)), "request.invalid"),
        (json!({"sort": "name"}), "request.invalid"),
        (json!({"sort": [{"direction": "asc"}]}), "request.invalid"),
        (json!({"sort": [{"field": "name", "direction": "sideways"}]}), "request.invalid"),
        (json!({"page": {"offset": -1}}), "request.invalid"),
        (json!({"page": {"length": -1}}), "request.invalid"),
        (json!({"page": {"offset": "x"}}), "request.invalid"),
        (json!({"page": {"offset": 1.5}}), "request.invalid"),
        (json!({"page": 5}), "request.invalid"),
        (json!({"page": {"offset": 100_001}}), "list.too_large"),
        (json!({"page": {"token": "forged", "length": 1}}), "list.token_invalid"),
        (json!([]), "request.invalid"),
    ] {
        let answer = case.api.http.post(format!("{CREDENTIALS}/list")).token(it.token()).json(&body).send().await;
        refused(&body.to_string().chars().take(300).collect::<String>(), &answer, 400, code);
    }
    it.check().await;
}

async fn every_documented_form_of_a_list_is_taken(case: &Case<'_>) {
    let it = Untouched::new(case).await;
    let name = &it.credential.name;
    let one = json!({"operator": "eq", "field": "name", "value": name});
    for body in [
        json!({}),
        json!({"filter": {}}),
        json!({"filter": "NONE"}),
        json!({"filter": null, "sort": null, "page": null}),
        json!({"filter": one, "sort": [], "page": {}}),
        json!({"filter": {"operator": "EQ", "field": "name", "value": name}}),
        json!({"filter": {"operator": "and", "operands": [one, one]}}),
        json!({"filter": {"operator": "eq", "field": "id", "value": it.credential.id}}),
        json!({"filter": {"operator": "eq", "field": "ownerId", "value": it.owner.id.to_string()}}),
        json!({"filter": {"operator": "gt", "field": "createdOn", "value": "2018-06-25T14:13:58+05:30"}}),
        json!({"sort": [{"field": "name", "direction": "asc"}, {"field": "id", "direction": "DESC"}]}),
        json!({"page": {"offset": "0", "length": "100", "total": 7, "totalFilter": 3}}),
        json!({"page": {"Offset": 0, "LENGTH": 100}}),
        json!({"page": {"offset": 0, "length": 0}}),
    ] {
        let answer =
            case.api.http.post(format!("{CREDENTIALS}/list")).token(it.token()).json(&body).send().await.is(200);
        assert_eq!(answer["list"].as_array().unwrap().len(), 1, "{body}: {answer}");
        assert_eq!(answer["page"]["total"], json!(1), "{body}: {answer}");
        assert_eq!(answer["page"]["offset"], json!(0), "{body}: {answer}");
    }
    let whole = case.api.http.post(format!("{CREDENTIALS}/list")).token(it.token()).send().await.is(200);
    assert_eq!(whole["page"]["totalFilter"], json!(1), "no body is the whole list");
}
