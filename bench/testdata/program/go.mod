module program.test/raw

go 1.25.0
