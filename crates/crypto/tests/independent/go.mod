module coffre.example/open-value

go 1.19
