package websocket

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	ws "github.com/gorilla/websocket"
	"goyave.dev/goyave/v5"
)

// bearer is the entry of Sec-WebSocket-Protocol that says that a token follows,
// and the subprotocol that is selected where there is no real one.
const bearer = "bearer"

const (
	protocolHeader      = "Sec-Websocket-Protocol" // as http.Header spells it
	authorizationHeader = "Authorization"
)

// Reasons to refuse a request. They hold nothing of what was sent.
var (
	errTokenSeveral   = errors.New("websocket: several bearer tokens")
	errTokenMissing   = errors.New(`websocket: no token follows "bearer" in Sec-WebSocket-Protocol`)
	errTokenMalformed = errors.New("websocket: malformed bearer token")
)

// extraBearer is the key in a request's Extra that says that the client offered
// the marker: a browser fails the connection if none of the subprotocols that it
// offered is selected.
type extraBearer struct{}

// BrowserToken is a middleware that lets browsers authenticate. They can't set
// an Authorization header on a WebSocket, so the page sends its bearer token as
// a subprotocol:
//
//	new WebSocket("wss://example.com/chat", ["bearer", token])
//
// Or, where the fields below say so, as a query parameter or a cookie. The
// middleware puts the token into the Authorization header, where Goyave's auth
// middleware finds it. An Authorization header that is there already is left as
// it is. Only GET requests that ask for an upgrade to WebSocket are touched.
//
// Before anything else sees the request, the token is taken out of
// Sec-WebSocket-Protocol, the URL, RequestURI and Query, whether or not it is
// used. The server then selects one of the Upgrader's Settings.Subprotocols or,
// if the client offered none of them, "bearer".
//
// A token is made of the characters of RFC 6750 (letters, digits and "-._~+/",
// then any number of "="); in Sec-WebSocket-Protocol without "/" and "=", which
// a browser can't send there. JSON Web Tokens are. The request is refused with
// status 400 if a token has other characters, if nothing follows "bearer", or if
// there is more than one token in the same place. An empty query parameter or
// cookie is no token. Of several places the first counts: subprotocol, query
// parameter, cookie.
//
// Use it as a global middleware, before the auth middleware and all that may
// answer by itself: what was refused earlier is logged with its URL as it came.
//
//	router.GlobalMiddleware(log.CombinedLogMiddleware())
//	router.GlobalMiddleware(&websocket.BrowserToken{})
//	router.GlobalMiddleware(auth.Middleware(authenticator))
type BrowserToken struct {
	goyave.Component

	// QueryParam is the name of a query parameter that may carry the token. URLs
	// end up in browsers' histories and in the logs of proxies: prefer the
	// subprotocol, or a token that serves once. Empty means none.
	QueryParam string

	// Cookie is the name of a cookie that may carry the token. Browsers send
	// cookies with every handshake, whatever page starts it, so who may connect
	// then rests on the origin check. The cookie stays in the request. Empty
	// means none.
	Cookie string
}

var _ goyave.Middleware = (*BrowserToken)(nil)

// Handle implements goyave.Middleware.
func (m *BrowserToken) Handle(next goyave.Handler) goyave.Handler {
	return func(response *goyave.Response, request *goyave.Request) {
		if request.Method() != http.MethodGet || !ws.IsWebSocketUpgrade(request.Request()) {
			next(response, request)
			return
		}
		if err := m.lift(request); err != nil {
			request.Extra[goyave.ExtraParseError{}] = err // for the status handler to tell
			response.Status(http.StatusBadRequest)
			return
		}
		next(response, request)
	}
}

// lift moves the request's token into the Authorization header.
func (m *BrowserToken) lift(request *goyave.Request) error {
	// Both first: whatever is wrong with one, the other must not be seen.
	token, err := takeFromProtocols(request)
	inQuery := m.takeFromQuery(request)
	if err != nil {
		return err
	}
	fromQuery, err := onlyToken(inQuery)
	if err != nil {
		return err
	}
	header := request.Header()
	if _, there := header[authorizationHeader]; there {
		return nil
	}
	if token == "" {
		token = fromQuery
	}
	if token == "" && m.Cookie != "" {
		if token, err = onlyToken(cookies(request, m.Cookie)); err != nil {
			return err
		}
	}
	if token != "" {
		header.Set(authorizationHeader, "Bearer "+token)
	}
	return nil
}

// takeFromProtocols takes the marker and the entry after it out of the
// subprotocols that the client offers. After a mistake none of them is left.
func takeFromProtocols(request *goyave.Request) (string, error) {
	header := request.Header()
	offered := entries(header)
	at := slices.Index(offered, bearer)
	if at < 0 {
		return "", nil
	}
	header.Del(protocolHeader)
	rest := offered[at+1:]
	switch {
	case slices.Contains(rest, bearer):
		return "", errTokenSeveral
	case len(rest) == 0:
		return "", errTokenMissing
	case !isToken(rest[0]) || strings.ContainsAny(rest[0], "/="):
		return "", errTokenMalformed
	}
	request.Extra[extraBearer{}] = struct{}{}
	if others := slices.Concat(offered[:at], rest[1:]); len(others) > 0 {
		header.Set(protocolHeader, strings.Join(others, ", "))
	}
	return rest[0], nil
}

// entries returns the subprotocols that the client offers. There may be several
// lines, and empty entries mean nothing (RFC 9110, 5.6.1).
func entries(header http.Header) []string {
	var all []string
	for entry := range strings.SplitSeq(strings.Join(header[protocolHeader], ","), ",") {
		if entry = strings.TrimSpace(entry); entry != "" {
			all = append(all, entry)
		}
	}
	return all
}

// takeFromQuery takes the parameter out of all places that have it, and returns
// its values. The rest of the query stays as it came: a middleware may have
// parsed it already, or may do so later.
func (m *BrowserToken) takeFromQuery(request *goyave.Request) []string {
	if m.QueryParam == "" {
		return nil
	}
	r := request.Request()
	var values []string
	r.URL.RawQuery, values = without(r.URL.RawQuery, m.QueryParam)
	if path, query, ok := strings.Cut(r.RequestURI, "?"); ok {
		if rest, _ := without(query, m.QueryParam); rest != "" {
			path += "?" + rest
		}
		r.RequestURI = path
	}
	delete(request.Query, m.QueryParam)
	r.Form.Del(m.QueryParam)
	return values
}

// without returns the raw query with no parameter of this name, and its values;
// one that is not properly escaped is returned as it came, which is no token.
func without(query, name string) (rest string, values []string) {
	var others []string
	for pair := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(pair, "=")
		if unescaped, err := url.QueryUnescape(key); err != nil || unescaped != name {
			others = append(others, pair)
			continue
		}
		if unescaped, err := url.QueryUnescape(value); err == nil {
			value = unescaped
		}
		values = append(values, value)
	}
	return strings.Join(others, "&"), values
}

func cookies(request *goyave.Request, name string) []string {
	var values []string
	for _, cookie := range request.Request().CookiesNamed(name) {
		values = append(values, cookie.Value)
	}
	return values
}

// onlyToken returns the token among the values of one place, "" if all are empty.
func onlyToken(values []string) (string, error) {
	var token string
	for _, value := range values {
		switch {
		case value == "":
		case token != "":
			return "", errTokenSeveral
		case !isToken(value):
			return "", errTokenMalformed
		default:
			token = value
		}
	}
	return token, nil
}

// isToken tells whether s is a b64token (RFC 6750, 2.1).
func isToken(s string) bool {
	s = strings.TrimRight(s, "=")
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("-._~+/", c) >= 0:
		default:
			return false
		}
	}
	return s != ""
}

// negotiated returns the settings and headers with which a request is upgraded:
// those given, or others that select the marker where the client offered it and
// nothing else would be selected. What it is given is not changed.
func negotiated(request *goyave.Request, settings *ws.Upgrader, header http.Header) (*ws.Upgrader, http.Header) {
	if _, offered := request.Extra[extraBearer{}]; !offered {
		return settings, header
	}
	if settings.Subprotocols == nil {
		for name, values := range header {
			if http.CanonicalHeaderKey(name) == protocolHeader && len(values) > 0 && values[0] != "" {
				return settings, header // the controller selected one
			}
		}
	}
	if slices.ContainsFunc(entries(request.Header()), func(offered string) bool {
		return slices.Contains(settings.Subprotocols, offered)
	}) {
		return settings, header
	}
	// gorilla takes the header's subprotocol only where it is given no others.
	marked := *settings
	marked.Subprotocols = nil
	h := make(http.Header, len(header)+1)
	for name, values := range header {
		if http.CanonicalHeaderKey(name) != protocolHeader {
			h[name] = values
		}
	}
	h.Set(protocolHeader, bearer)
	return &marked, h
}
