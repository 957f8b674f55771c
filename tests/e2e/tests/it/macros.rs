//! From functions to tests.

/// Makes of each case six tests: on SQLite and PostgreSQL in one process, and on PostgreSQL with every service in a process of its own.
macro_rules! case_list {
    ($($area:ident { $($name:ident,)+ })+) => {
        mod sqlite_rest { case_list!(@ Sqlite Rest $($area { $($name,)+ })+); }
        mod sqlite_grpc { case_list!(@ Sqlite Grpc $($area { $($name,)+ })+); }
        mod postgres_rest { case_list!(@ Postgres Rest $($area { $($name,)+ })+); }
        mod postgres_grpc { case_list!(@ Postgres Grpc $($area { $($name,)+ })+); }
        mod split_rest { case_list!(@split Rest $($area { $($name,)+ })+); }
        mod split_grpc { case_list!(@split Grpc $($area { $($name,)+ })+); }
    };
    (@split $protocol:ident $($area:ident { $($name:ident,)+ })+) => {
        $(mod $area {
            $(#[test]
            fn $name() {
                coffre_e2e::case::run_split(coffre_e2e::api::Protocol::$protocol, crate::cases::$area::$name);
            })+
        })+
    };
    (@ $engine:ident $protocol:ident $($area:ident { $($name:ident,)+ })+) => {
        $(mod $area {
            $(#[test]
            fn $name() {
                use coffre_e2e::{api::Protocol, case::run, server::Engine};
                run(Engine::$engine, Protocol::$protocol, crate::cases::$area::$name);
            })+
        })+
    };
}

/// Makes of each async function two tests, one per engine.
macro_rules! on_each_engine {
    ($($name:ident,)+) => {
        $(mod $name {
            #[test]
            fn sqlite() {
                coffre_e2e::case::run_apart(coffre_e2e::server::Engine::Sqlite, super::$name);
            }

            #[test]
            fn postgres() {
                coffre_e2e::case::run_apart(coffre_e2e::server::Engine::Postgres, super::$name);
            }
        })+
    };
}

/// Makes of each async function two tests over REST alone, on the shared server of each engine.
macro_rules! rest_cases {
    ($($name:ident,)+) => {
        $(mod $name {
            use coffre_e2e::{api::Protocol, case::run, server::Engine};

            #[test]
            fn sqlite() {
                run(Engine::Sqlite, Protocol::Rest, super::$name);
            }

            #[test]
            fn postgres() {
                run(Engine::Postgres, Protocol::Rest, super::$name);
            }
        })+
    };
}

/// Makes of each async function four tests on vaults of their own, which may be sealed and started again.
macro_rules! vault_cases {
    ($($name:ident,)+) => {
        $(mod $name {
            use coffre_e2e::{api::Protocol, server::Engine};

            use crate::keys::own::run;

            #[test]
            fn sqlite_rest() {
                run(Engine::Sqlite, Protocol::Rest, super::$name);
            }

            #[test]
            fn sqlite_grpc() {
                run(Engine::Sqlite, Protocol::Grpc, super::$name);
            }

            #[test]
            fn postgres_rest() {
                run(Engine::Postgres, Protocol::Rest, super::$name);
            }

            #[test]
            fn postgres_grpc() {
                run(Engine::Postgres, Protocol::Grpc, super::$name);
            }
        })+
    };
}
