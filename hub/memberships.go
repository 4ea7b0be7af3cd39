package hub

import (
	"iter"
	"maps"
	"slices"
)

// maxListed is how many memberships are kept in a slice; more are kept in a map.
const maxListed = 16

// memberships are the rooms and the key of one member. Most members have few, for which a
// slice takes less memory than a map. The member's mutex guards it.
type memberships struct {
	list    []*membership
	byTopic map[Topic]*membership // replaces list once that is full, which then has the key alone; nil before
}

func (s *memberships) get(t Topic) *membership {
	if s.byTopic != nil {
		return s.byTopic[t]
	}
	if i := s.index(t); i >= 0 {
		return s.list[i]
	}
	return nil
}

func (s *memberships) index(t Topic) int {
	return slices.IndexFunc(s.list, func(ms *membership) bool { return ms.group.topic == t })
}

func (s *memberships) add(ms *membership) {
	switch {
	case s.byTopic != nil:
		s.byTopic[ms.group.topic] = ms
		if ms.group.topic.Kind == KindKey {
			s.list = append(s.list, ms)
		}
	case len(s.list) < maxListed:
		s.list = append(s.list, ms)
	default:
		s.byTopic = map[Topic]*membership{ms.group.topic: ms}
		for _, other := range s.list {
			s.byTopic[other.group.topic] = other
		}
		s.list = nil
		for other := range maps.Values(s.byTopic) {
			if other.group.topic.Kind == KindKey {
				s.list = append(s.list, other)
			}
		}
	}
}

func (s *memberships) remove(t Topic) {
	if s.byTopic != nil {
		delete(s.byTopic, t)
	}
	if i := s.index(t); i >= 0 {
		s.list = slices.Delete(s.list, i, i+1)
	}
}

func (s *memberships) all() iter.Seq[*membership] {
	if s.byTopic != nil {
		return maps.Values(s.byTopic)
	}
	return slices.Values(s.list)
}

// key returns the membership for the member's key, or nil if the member has no key.
func (s *memberships) key() *membership {
	for _, ms := range s.list {
		if ms.group.topic.Kind == KindKey {
			return ms
		}
	}
	return nil
}
