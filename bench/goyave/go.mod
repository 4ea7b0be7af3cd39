module github.com/goyave-contrib/websocket/bench/goyave

go 1.25.8

require (
	github.com/gorilla/websocket v1.5.3
	github.com/goyave-contrib/websocket v0.1.0
	github.com/goyave-contrib/websocket/bench v0.0.0
	github.com/goyave-contrib/websocket/goyave v0.1.0
	github.com/stretchr/testify v1.11.1
	goyave.dev/goyave/v5 v5.12.1
)

require (
	github.com/Code-Hex/uniseg v0.2.0 // indirect
	github.com/davecgh/go-spew v1.1.2-0.20180830191138-d8f796af33cc // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/jinzhu/inflection v1.0.0 // indirect
	github.com/jinzhu/now v1.1.5 // indirect
	github.com/klauspost/compress v1.18.6 // indirect
	github.com/pmezard/go-difflib v1.0.1-0.20181226105442-5d4384ee4fb2 // indirect
	github.com/samber/lo v1.53.0 // indirect
	golang.org/x/text v0.37.0 // indirect
	gopkg.in/yaml.v3 v3.0.1 // indirect
	gorm.io/gorm v1.31.1 // indirect
	goyave.dev/copier v0.4.4 // indirect
)

replace github.com/goyave-contrib/websocket => ../../

replace github.com/goyave-contrib/websocket/bench => ../

replace github.com/goyave-contrib/websocket/goyave => ../../goyave
