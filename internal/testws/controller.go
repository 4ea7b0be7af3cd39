package testws

import (
	"net/http"

	"github.com/goyave-contrib/websocket"
)

// Controller is a Controller made of functions. ErrorFunc may be nil.
type Controller struct {
	ServeFunc func(conn *websocket.Conn, r *http.Request) error
	ErrorFunc func(r *http.Request, err error)
	Told      ErrorList // the arguments of OnError
}

// Serve calls ServeFunc.
func (ctrl *Controller) Serve(conn *websocket.Conn, r *http.Request) error {
	return ctrl.ServeFunc(conn, r)
}

// OnError adds the error to Told and calls ErrorFunc.
func (ctrl *Controller) OnError(r *http.Request, err error) {
	ctrl.Told.Add(err)
	if ctrl.ErrorFunc != nil {
		ctrl.ErrorFunc(r, err)
	}
}

// CheckController is an UpgradeChecker.
type CheckController struct {
	websocket.ControllerFunc
	Check func(r *http.Request) error
}

// CheckUpgrade calls Check.
func (ctrl *CheckController) CheckUpgrade(r *http.Request) error { return ctrl.Check(r) }

// OriginController is an OriginChecker.
type OriginController struct {
	websocket.ControllerFunc
	Check func(r *http.Request) bool
}

// CheckOrigin calls Check.
func (ctrl *OriginController) CheckOrigin(r *http.Request) bool { return ctrl.Check(r) }

// HeaderController is a HeaderUpgrader.
type HeaderController struct {
	websocket.ControllerFunc
	Headers func(r *http.Request) http.Header
}

// UpgradeHeaders calls Headers.
func (ctrl *HeaderController) UpgradeHeaders(r *http.Request) http.Header { return ctrl.Headers(r) }

// NoHeaders is for HeaderController: it adds no header to the 101.
func NoHeaders(*http.Request) http.Header { return nil }

// RefusalController is an UpgradeErrorHandler.
type RefusalController struct {
	HeaderController
	Refuse func(w http.ResponseWriter, r *http.Request, status int, reason error)
}

// OnUpgradeError calls Refuse.
func (ctrl *RefusalController) OnUpgradeError(w http.ResponseWriter, r *http.Request, status int, reason error) {
	ctrl.Refuse(w, r, status, reason)
}
