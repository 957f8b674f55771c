//! The generator against a small server of its own.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;

use super::*;
use crate::work::Once;

/// Answers each call with its path, cut into two writes; `/7` gets a 503.
fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || {
                let mut stream = stream.unwrap();
                let lines = BufReader::new(stream.try_clone().unwrap()).lines();
                for line in lines.map_while(Result::ok) {
                    let Some(path) = line.strip_prefix("GET ").and_then(|rest| rest.split(' ').next()) else {
                        continue;
                    };
                    let status = if path == "/7" { "503 No" } else { "200 OK" };
                    stream.write_all(format!("HTTP/1.1 {status}\r\ncontent-le").as_bytes()).unwrap();
                    let body = path.repeat(5000);
                    stream.write_all(format!("ngth: {}\r\n\r\n{body}", body.len()).as_bytes()).unwrap();
                }
            });
        }
    });
    address
}

fn plan(rate: Option<u32>) -> Plan {
    Plan {
        address: server(),
        connections: 4,
        warm_up: Duration::ZERO,
        measured: Duration::from_secs(60),
        rate,
        processes: Vec::new(),
        database: false,
    }
}

fn call(plan: &Plan) -> Outcome {
    let render = |number: usize| crate::http::get(&format!("/{number}"), None);
    run(plan, &mut Once::new(100, 200, render, |number, body| body == format!("/{number}").repeat(5000).as_bytes()))
        .unwrap()
}

#[test]
fn every_call_is_made_once_and_a_bad_answer_is_counted() {
    let outcome = call(&plan(None));
    assert_eq!((outcome.answers, outcome.failures), (99, 1));
    assert!(outcome.first_failure.unwrap().starts_with("503 /7"));
    assert_eq!(outcome.latency.len(), 99);
}

#[test]
fn the_open_loop_keeps_its_rate() {
    let outcome = call(&plan(Some(500)));
    assert_eq!(outcome.answers, 99);
    assert!(outcome.elapsed >= Duration::from_millis(190), "{:?}", outcome.elapsed);
}
