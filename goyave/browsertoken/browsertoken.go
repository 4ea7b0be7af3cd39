// Package browsertoken lets browsers authenticate when they open a WebSocket. Goyave's
// authenticators work without changes.
package browsertoken

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/goyave/internal/bearer"
	"goyave.dev/goyave/v5"
)

const authorizationHeader = "Authorization" // as http.Header spells it

// Middleware moves a browser's token into the Authorization header, where Goyave's auth middleware
// finds it. Browsers can't set an Authorization header on a WebSocket, so the page sends its bearer
// token as a subprotocol:
//
//	new WebSocket("wss://example.com/chat", ["bearer", token])
//
// With the fields below, the page may also send it as a query parameter or a cookie. The
// middleware does not replace an Authorization header that the request has already. It changes only
// GET requests for an upgrade to WebSocket. The zero value is ready to use.
//
// The middleware removes the token from Sec-WebSocket-Protocol, the URL, RequestURI and Query,
// whether or not it uses the token, so that later handlers do not see it. The server then selects
// one of the Upgrader's Subprotocols or, if the client has offered none of them, "bearer".
//
// A token consists of the characters of RFC 6750: letters, digits and "-._~+/", followed by any
// number of "=". In Sec-WebSocket-Protocol, "/" and "=" are not allowed, because a browser can't
// send them there. JSON Web Tokens are valid in both. The request is refused with status 400 if a
// token has other characters, if nothing follows "bearer", or if one place has several tokens. An
// empty query parameter or cookie is ignored. If several places have a token, the order of
// precedence is subprotocol, query parameter, cookie.
//
// The status handler for 400 writes the response. The error text of Goyave's own handler is the
// language line "websocket.token-missing", "websocket.token-malformed" or
// "websocket.token-several", and contains nothing that the client has sent. The English lines are
// built in; an application adds them to the locale.json of its other languages. If the request's
// language lacks a line, the line of the default language is used, and then the English one.
//
// Use it as a global middleware, before the auth middleware and before any middleware that may
// write a response: a request that is refused earlier is logged with its complete URL.
//
//	router.GlobalMiddleware(log.CombinedLogMiddleware())
//	router.GlobalMiddleware(&browsertoken.Middleware{})
//	router.GlobalMiddleware(auth.Middleware(authenticator))
type Middleware struct {
	goyave.Component

	// QueryParam is the name of a query parameter that may contain the token. URLs end up in the
	// histories of browsers and in the logs of proxies: prefer the subprotocol, or a token that
	// can be used only once. Empty means none.
	QueryParam string

	// Cookie is the name of a cookie that may contain the token. Browsers send cookies with
	// every handshake, from any page, so the origin check then is the only protection against
	// other pages. The cookie stays in the request. Empty means none.
	Cookie string
}

var _ goyave.Middleware = (*Middleware)(nil)

// Handle implements goyave.Middleware.
func (m *Middleware) Handle(next goyave.Handler) goyave.Handler {
	return func(response *goyave.Response, request *goyave.Request) {
		if request.Method() != http.MethodGet || !websocket.IsWebSocketUpgrade(request.Request()) {
			next(response, request)
			return
		}
		if err := m.moveToken(request); err != nil {
			request.Extra[goyave.ExtraParseError{}] = m.localized(request, err) // the status handler shows it
			response.Status(http.StatusBadRequest)
			return
		}
		next(response, request)
	}
}

// moveToken moves the request's token into the Authorization header.
func (m *Middleware) moveToken(request *goyave.Request) error {
	// Both are removed first: if one is invalid, the other must not stay in the request.
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

// takeFromProtocols removes the marker and the entry after it from the subprotocols that the client
// offers, and returns that entry. After an error, it has removed all subprotocols.
func takeFromProtocols(request *goyave.Request) (string, error) {
	header := request.Header()
	offered := bearer.Entries(header)
	at := slices.Index(offered, bearer.Marker)
	if at < 0 {
		return "", nil
	}
	header.Del(bearer.Header)
	rest := offered[at+1:]
	switch {
	case slices.Contains(rest, bearer.Marker):
		return "", errSeveral
	case len(rest) == 0:
		return "", errMissing
	case !isToken(rest[0]) || strings.ContainsAny(rest[0], "/="):
		return "", errMalformed
	}
	bearer.Offered(request)
	if others := slices.Concat(offered[:at], rest[1:]); len(others) > 0 {
		header.Set(bearer.Header, strings.Join(others, ", "))
	}
	return rest[0], nil
}

// takeFromQuery removes the parameter from every form of the query and returns its values. The rest
// of the query is unchanged. Earlier middleware may have parsed the query, and later middleware may
// do so.
func (m *Middleware) takeFromQuery(request *goyave.Request) []string {
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

// without returns the raw query without the parameters of this name, and their values. A value that
// is not escaped correctly is returned unchanged; it is not a valid token.
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

// onlyToken returns the single token among the values of one place, "" if all are empty.
func onlyToken(values []string) (string, error) {
	var token string
	for _, value := range values {
		switch {
		case value == "":
		case token != "":
			return "", errSeveral
		case !isToken(value):
			return "", errMalformed
		default:
			token = value
		}
	}
	return token, nil
}

// isToken reports whether s is a b64token (RFC 6750, 2.1).
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
