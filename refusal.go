package websocket

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"
)

// retryAfter is the default Retry-After of refusals that are temporary: the server shuts
// down or has too much to do.
const retryAfter = 5 * time.Second

// A RefusedError is the error with which CheckUpgrade refuses an upgrade: see
// [UpgradeChecker]. It may be wrapped. The zero value refuses with 403.
type RefusedError struct {
	// Status is the status of the response, 400 to 599. Zero means 403 (Forbidden). Any
	// other status, redirects included, is a mistake and becomes 500.
	Status int

	// RetryAfter is the Retry-After header of the response (RFC 9110, 10.2.3): the time
	// after which the client may try again, rounded up to whole seconds. Zero means 5
	// seconds with status 429 or 503 and no header with any other; negative means no
	// header.
	RetryAfter time.Duration

	// Reason goes to the UpgradeErrorHandler and the Observer, and to the client only with
	// Options.Debug. It may be nil.
	Reason error
}

// Error returns the text of the reason or, without a reason, of the status.
func (e *RefusedError) Error() string {
	if e == nil || e.Reason == nil {
		return "websocket: refused: " + statusText(e.status())
	}
	return e.Reason.Error()
}

// Unwrap returns the reason, which may be nil.
func (e *RefusedError) Unwrap() error {
	if e == nil {
		return nil
	}
	return e.Reason
}

func (e *RefusedError) status() int {
	if e == nil {
		return http.StatusForbidden
	}
	return cmp.Or(e.Status, http.StatusForbidden)
}

func statusText(status int) string {
	return cmp.Or(http.StatusText(status), strconv.Itoa(status))
}

// A refusal describes the response to a request that is not upgraded.
type refusal struct {
	status     int
	reason     error
	retryAfter time.Duration // as in RefusedError
}

// unavailable returns the refusal of an upgrade for which there is no room at the moment.
//
//go:noinline
func unavailable(reason error) *refusal {
	return &refusal{status: http.StatusServiceUnavailable, reason: reason}
}

// failed returns the refusal of an upgrade that is not the client's fault.
//
//go:noinline
func failed(reason error) *refusal {
	return &refusal{status: http.StatusInternalServerError, reason: reason}
}

// refusedByCheck converts an error of CheckUpgrade to a refusal. An error that is not a
// RefusedError is a failure, as an error of Serve is.
func refusedByCheck(err error) *refusal {
	var refused *RefusedError
	if !errors.As(err, &refused) {
		return &refusal{status: http.StatusInternalServerError, reason: err}
	}
	status := refused.status()
	if status < 400 || status > 599 {
		return &refusal{
			status: http.StatusInternalServerError,
			reason: fmt.Errorf("websocket: CheckUpgrade refuses with status %d, want 400 to 599: %w", status, err),
		}
	}
	r := &refusal{status: status, reason: err}
	if refused != nil {
		r.retryAfter = refused.RetryAfter
	}
	return r
}

// rejectUpgrade writes the response to a request that is not upgraded. It returns the
// reason.
func (e *Endpoint) rejectUpgrade(w http.ResponseWriter, r *http.Request, h *Handshake, refused *refusal) error {
	status, reason := refused.status, refused.reason
	e.live.countRefusal(status)
	e.observe(r.Context(), func(o *Observer) { o.upgradeRefused(r, status, reason) })
	if errors.Is(reason, ErrNotHandshake) {
		e.options.log(r.Context(), slog.LevelDebug, logRefused, reason, slog.String("remote", r.RemoteAddr), slog.Int("status", status))
	}
	refused.setHeaders(w.Header(), r)
	h.Refuse(status, reason)
	return reason
}

// setHeaders sets the headers that belong to the status.
func (f *refusal) setHeaders(header http.Header, r *http.Request) {
	header.Set("Sec-Websocket-Version", "13")
	wait := f.retryAfter
	switch f.status {
	case http.StatusMethodNotAllowed:
		header.Set("Allow", http.MethodGet)
	case http.StatusUpgradeRequired: // RFC 9110, 7.8 and 15.5.22
		header.Set("Upgrade", "websocket")
		header.Set("Connection", "Upgrade")
		if r.Close { // net/http would replace the header by "close"
			header.Set("Connection", "Upgrade, close")
		}
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		wait = cmp.Or(wait, retryAfter)
	}
	if wait > 0 {
		header.Set("Retry-After", strconv.FormatInt(int64((wait-1)/time.Second)+1, 10))
	}
	if r.ProtoMajor == 1 && r.ContentLength != 0 { // otherwise net/http would read the body before it sends the response
		header.Set("Connection", "close")
	}
}
