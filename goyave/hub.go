package websocket

import (
	"github.com/goyave-contrib/websocket/hub"
	"goyave.dev/goyave/v5"
	"goyave.dev/goyave/v5/util/errors"
)

// HubServiceName is the name of a [HubService].
const HubServiceName = "goyave-contrib.websocket.hub"

// A HubService is a [hub.Hub] as a service of the server. [NewHubService] makes one; the zero value
// is not usable. Every controller gets it with [HubOf], whether it serves WebSockets or not.
// All controllers of the application share its rooms and keys, so they must choose different names.
//
// When the server stops, it shuts the hub down after the Upgraders, within
// websocket.shutdownTimeout: members get their queued messages and then 1001, and messages that
// Serve sends before it returns still reach the members on other nodes.
//
// For a second hub, embed a HubService in a type with a Name of its own, and look it up by that
// name.
type HubService struct {
	*hub.Hub
}

var _ goyave.Service = (*HubService)(nil)

// NewHubService returns a service with a new hub, which the server will shut down. Call it before
// the server starts. The caller registers the service:
//
//	server.RegisterService(websocket.NewHubService(server, hub.Options{}))
func NewHubService(server *goyave.Server, options hub.Options) *HubService {
	s := &HubService{Hub: hub.New(options)}
	serviceOf(server).addHub(s.Hub)
	return s
}

// Name returns [HubServiceName].
func (*HubService) Name() string { return HubServiceName }

// HubOf returns the registered HubService. The argument is the server, or a component such as a
// controller. HubOf panics if no HubService is registered.
func HubOf(services interface {
	Service(name string) goyave.Service
}) *HubService {
	s, ok := services.Service(HubServiceName).(*HubService)
	if !ok {
		panic(errors.Errorf("websocket: another service is named %q", HubServiceName))
	}
	return s
}
