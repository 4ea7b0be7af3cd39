module github.com/goyave-contrib/websocket

go 1.25.0

require (
	github.com/gorilla/websocket v1.5.3
	github.com/klauspost/compress v1.18.6
	github.com/stretchr/testify v1.11.1
	go.uber.org/goleak v1.3.0
)

require (
	github.com/davecgh/go-spew v1.1.1 // indirect
	github.com/kr/text v0.1.0 // indirect
	github.com/pmezard/go-difflib v1.0.0 // indirect
	gopkg.in/yaml.v3 v3.0.1 // indirect
)
