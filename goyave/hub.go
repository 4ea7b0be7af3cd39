package websocket

import (
	"github.com/goyave-contrib/websocket/hub"
	"goyave.dev/goyave/v5"
	"goyave.dev/goyave/v5/util/errors"
)

// HubServiceName is the name of a [HubService].
const HubServiceName = "goyave-contrib.websocket.hub"

// A HubService is a [hub.Hub] as a service of the server, made with [NewHubService].
// Any controller finds it with [HubOf], whether it upgrades requests or answers them.
// Its rooms and keys are the whole application's: controllers that do not know of each
// other give them different names.
//
// When the server stops, it is shut down after the Upgraders, within
// websocket.shutdownTimeout: members get what is queued for them, then 1001, and what
// Serve sends as it returns still reaches the members of other nodes.
//
// A second one is embedded in a type that has another Name, and found by that name.
type HubService struct {
	*hub.Hub
}

var _ goyave.Service = (*HubService)(nil)

// NewHubService returns a service with a hub of its own, which the server shuts down.
// Call it before the start. The service is yours to register:
//
//	server.RegisterService(websocket.NewHubService(server, hub.Options{}))
func NewHubService(server *goyave.Server, options hub.Options) *HubService {
	s := &HubService{Hub: hub.New(options)}
	serviceOf(server).addHub(s.Hub)
	return s
}

// Name returns [HubServiceName].
func (*HubService) Name() string { return HubServiceName }

// HubOf returns the HubService that is registered: its argument is the server, or a
// component such as a controller. It panics if none is.
func HubOf(services interface {
	Service(name string) goyave.Service
}) *HubService {
	s, ok := services.Service(HubServiceName).(*HubService)
	if !ok {
		panic(errors.Errorf("websocket: another service is named %q", HubServiceName))
	}
	return s
}
