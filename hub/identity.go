package hub

import (
	"crypto/rand"
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/goyave-contrib/websocket"
)

// newNode returns a name that no other hub has.
func newNode() string {
	var name [12]byte
	_, _ = rand.Read(name[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(name[:])
}

// idBase is the base of the number in an ID.
const idBase = 36

// ID returns a string that no other member has, on any node, at any time: some twenty letters,
// digits and the characters "-", "_" and ".". It may be given to other nodes, stored, and used with
// [ID]. Clients may learn it: they can do nothing with it.
func (m *Member) ID() string { return formatID(m.hub.node, m.number) }

func formatID(node string, number uint64) string {
	return node + "." + strconv.FormatUint(number, idBase)
}

// parseID returns the parts of an ID. For a string that is no ID, node is empty.
func parseID(id string) (node string, number uint64) {
	node, digits, _ := strings.Cut(id, ".")
	number, err := strconv.ParseUint(digits, idBase, 64)
	if err != nil {
		return "", 0
	}
	return node, number
}

// Of returns the member of a connection in this hub. It is nil if the connection has not joined, or
// has begun to end.
func (h *Hub) Of(conn *websocket.Conn) *Member {
	h.mu.RLock()
	m, indexed := h.byConn[conn], h.byConn != nil
	h.mu.RUnlock()
	if indexed {
		return m
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.byConn == nil {
		h.byConn = make(map[*websocket.Conn]*Member)
		h.indexAll()
	}
	return h.byConn[conn]
}

// indexNumbers makes byNumber, unless it is there.
func (h *Hub) indexNumbers() {
	h.mu.RLock()
	indexed := h.byNumber != nil
	h.mu.RUnlock()
	if indexed {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.byNumber == nil {
		h.byNumber = make(map[uint64]*Member)
		h.indexAll()
	}
}

// indexAll adds all members to the indexes that are there. They are made when they are first
// needed, because each takes memory for every member. The caller holds mu for writing.
func (h *Hub) indexAll() {
	for _, m := range h.everyone.all() {
		h.index(m)
	}
}

// index adds a member to the indexes that are there. The caller holds mu for writing.
func (h *Hub) index(m *Member) {
	if h.byNumber != nil {
		h.byNumber[m.number] = m
	}
	if h.byConn != nil {
		h.byConn[m.conn] = m
	}
}

// unindex removes a member from the indexes, and its claim. The caller holds mu for writing.
func (h *Hub) unindex(m *Member) {
	h.claims.ForgetAll(m)
	delete(h.byNumber, m.number)
	if h.byConn[m.conn] == m {
		delete(h.byConn, m.conn)
	}
}
