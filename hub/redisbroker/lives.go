package redisbroker

import (
	"maps"
	"slices"
	"sync"
)

// presence is what the Broker knows of the nodes that it has renewed: of its own hub.
type presence struct {
	mu    sync.Mutex
	nodes map[string]*presentNode
	lines map[string]bool // of data, of the servers of a cluster
}

// A presentNode is one life of a node, and what it has put into which rooms.
type presentNode struct {
	life  uint64            // as the hub knows it
	lost  bool              // Redis has lost something of it: the next lease is a new one
	rooms map[string]uint64 // by channel: the revision of its last entries
}

// lifeOf returns the least life that a node may have next, and whether it has to be a new one.
func (p *presence) lifeOf(node string) (least uint64, renew bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := p.nodes[node]; n != nil {
		return n.life + 1, n.lost
	}
	return 1, true // nothing of another Broker's is kept
}

// renewed notes the life of a node, and reports whether the hub does not know it yet.
func (p *presence) renewed(node string, life uint64) (isNew bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := p.nodes[node]; n != nil && n.life >= life {
		return false
	}
	if p.nodes == nil {
		p.nodes = make(map[string]*presentNode)
	}
	p.nodes[node] = &presentNode{life: life, rooms: make(map[string]uint64)}
	return true
}

// seen notes the lines of data of the servers of a cluster. With a new one, something may be lost of all nodes.
func (p *presence) seen(lines []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	isFirst, isNew := p.lines == nil, false
	if isFirst {
		p.lines = make(map[string]bool)
	}
	for _, line := range lines {
		isNew = isNew || !p.lines[line]
		p.lines[line] = true
	}
	for _, n := range p.nodes {
		n.lost = n.lost || isNew && !isFirst
	}
}

// removed forgets a node, and returns the channels of its rooms.
func (p *presence) removed(node string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.nodes[node]
	delete(p.nodes, node)
	if n == nil {
		return nil
	}
	return slices.Collect(maps.Keys(n.rooms))
}

// life returns the life of a node that has been renewed here, 0 for others.
func (p *presence) life(node string) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := p.nodes[node]; n != nil {
		return n.life
	}
	return 0
}

// put notes that a node has entries in a room, or none any more.
func (p *presence) put(node string, life uint64, channel string, revision uint64, entries int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.nodes[node]
	switch {
	case n == nil || n.life != life || n.rooms[channel] > revision:
	case entries > 0:
		n.rooms[channel] = revision
	default:
		delete(n.rooms, channel)
	}
}

// A presentRoom is one of the rooms where a node of this Broker has entries.
type presentRoom struct {
	node, channel string
	life          uint64
	revision      uint64
}

// all returns the rooms of all nodes of this Broker.
func (p *presence) all() (list []presentRoom) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for node, n := range p.nodes {
		for channel, revision := range n.rooms {
			list = append(list, presentRoom{node, channel, n.life, revision})
		}
	}
	return list
}

// expected returns the rooms of all nodes of this Broker, among some.
func (p *presence) expected(channels []string) (list []presentRoom) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for node, n := range p.nodes {
		for _, channel := range channels {
			if revision, ok := n.rooms[channel]; ok {
				list = append(list, presentRoom{node, channel, n.life, revision})
			}
		}
	}
	return list
}

// losing notes that Redis has lost what a node of this Broker has put into a room, if it has not left
// it meanwhile.
func (p *presence) losing(r presentRoom) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := p.nodes[r.node]; n != nil && n.life == r.life && n.rooms[r.channel] == r.revision {
		n.lost = true
	}
}
