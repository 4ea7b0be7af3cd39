package conformance_test

import "strings"

// openings are requests for an upgrade, and their responses.
func openings() []row {
	const upgrade, connection = "Upgrade: websocket\r\n", "Connection: Upgrade\r\n"
	const version, key = "Sec-WebSocket-Version: 13\r\n", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	with := func(old, instead string) func(string) string {
		return func(request string) string { return strings.Replace(request, old, instead, 1) }
	}
	rows := []row{
		{name: "nothing but what is needed", rfc: "4.2.1"},
		{name: "other connection options", rfc: "4.2.1", request: with(connection, "Connection: keep-alive, Upgrade\r\n")},
		{name: "a connection that is not kept behind the WebSocket", rfc: "4.2.1", request: with(connection, "Connection: Upgrade, close\r\n")},
		{name: "another case", rfc: "4.2.1", request: with(connection+upgrade, "CONNECTION: uPGRADE\r\nupgrade: WebSocket\r\n")},
		{name: "several lines", rfc: "4.2.1", request: with(connection+upgrade, "Connection: keep-alive\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket\r\n")},
		{name: "a protocol with a version before it", rfc: "4.2.1", request: with(upgrade, "Upgrade: TLS/1.0, websocket\r\n")},
		{name: "two protocols with versions before it", rfc: "4.2.1", request: with(upgrade, "Upgrade: HTTP/2.0, SHTTP/1.3, websocket\r\n")},
		{name: "an empty element before the protocol", rfc: "4.2.1", request: with(upgrade, "Upgrade: ,websocket\r\n")},
		{name: "an empty element before the connection option", rfc: "4.2.1", request: with(connection, "Connection: keep-alive, , Upgrade\r\n")},

		{name: "no Upgrade header", rfc: "4.2.1", request: with(upgrade, ""), refused: 426},
		{name: "no Connection header", rfc: "4.2.1", request: with(connection, ""), refused: 426},
		{name: "neither, nor anything else: a browser's page", rfc: "4.2.1", request: with(connection+upgrade+version+key, ""), refused: 426},
		{name: "another protocol", rfc: "4.2.1", request: with(upgrade, "Upgrade: h2c\r\n"), refused: 426},
		{name: "a version of the protocol", rfc: "4.2.1", request: with(upgrade, "Upgrade: websocket/13\r\n"), refused: 426, why: "there is no such protocol"},
		{name: "HTTP/1.0", rfc: "4.2.1", request: with("HTTP/1.1", "HTTP/1.0"), refused: 400},
		{name: "POST", rfc: "4.2.1", request: with("GET", "POST"), refused: 405},
		{name: "no version", rfc: "4.2.1", request: with(version, ""), refused: 400},
		{name: "version 8", rfc: "4.4", request: with("Version: 13", "Version: 8"), refused: 400},
		{name: "version 8 or 13", rfc: "4.4", request: with("Version: 13", "Version: 8, 13"), refused: 400, why: "a client asks for one"},
		{name: "two versions", rfc: "11.3.5", request: with(version, version+version), refused: 400},
		{name: "no key", rfc: "4.2.1", request: with(key, ""), refused: 400},
		{name: "a key that is too short", rfc: "4.2.1", request: with(key, "Sec-WebSocket-Key: c2hvcnQ=\r\n"), refused: 400},
		{name: "two keys", rfc: "11.3.1", request: with(key, key+key), refused: 400},
		{name: "a page of another origin", rfc: "4.2.2", request: with(key, key+"Origin: https://evil.test\r\n"), refused: 403},
		{name: "a body that is not sent", rfc: "4.2.1", request: with(key, key+"Content-Length: 5\r\n"), refused: 400, why: "what follows would be read as frames"},
		{name: "a body in chunks that are not sent", rfc: "4.2.1", request: with(key, key+"Transfer-Encoding: chunked\r\n"), refused: 400, why: "likewise"},
	}
	for i := range rows {
		rows[i].send, rows[i].want = text("hello"), back(text("hello"))
	}
	return rows
}
