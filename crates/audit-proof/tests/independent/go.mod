module coffre.example/check-audit

go 1.19
