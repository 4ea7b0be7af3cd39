module github.com/goyave-contrib/websocket/bench/hub

go 1.25.0

require (
	github.com/goyave-contrib/websocket v0.1.0
	github.com/goyave-contrib/websocket/bench v0.0.0
	github.com/goyave-contrib/websocket/hub/natsbroker v0.1.0
	github.com/goyave-contrib/websocket/hub/redisbroker v0.1.0
	github.com/nats-io/nats-server/v2 v2.12.15
	github.com/nats-io/nats.go v1.53.1
	github.com/redis/go-redis/v9 v9.22.0
	github.com/stretchr/testify v1.11.1
)

require (
	github.com/antithesishq/antithesis-sdk-go v0.7.2-default-no-op // indirect
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/davecgh/go-spew v1.1.2-0.20180830191138-d8f796af33cc // indirect
	github.com/google/go-tpm v0.9.8 // indirect
	github.com/gorilla/websocket v1.5.3 // indirect
	github.com/klauspost/compress v1.19.2 // indirect
	github.com/minio/highwayhash v1.0.4 // indirect
	github.com/nats-io/jwt/v2 v2.8.2 // indirect
	github.com/nats-io/nkeys v0.4.16 // indirect
	github.com/nats-io/nuid v1.0.1 // indirect
	github.com/pmezard/go-difflib v1.0.1-0.20181226105442-5d4384ee4fb2 // indirect
	go.uber.org/atomic v1.11.0 // indirect
	golang.org/x/crypto v0.55.0 // indirect
	golang.org/x/sys v0.47.0 // indirect
	golang.org/x/time v0.15.0 // indirect
	gopkg.in/yaml.v3 v3.0.1 // indirect
)

replace github.com/goyave-contrib/websocket => ../../

replace github.com/goyave-contrib/websocket/bench => ../

replace github.com/goyave-contrib/websocket/hub/natsbroker => ../../hub/natsbroker

replace github.com/goyave-contrib/websocket/hub/redisbroker => ../../hub/redisbroker
