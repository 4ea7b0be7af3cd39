package hub

import (
	"iter"
	"maps"
	"slices"
)

// fewPlaces is how many places are looked through rather than looked up.
const fewPlaces = 16

// places are a member's, by topic: most members have few.
type places struct {
	few  []*membership
	many map[Topic]*membership // nil until there are too many
}

func (p *places) get(t Topic) *membership {
	if p.many != nil {
		return p.many[t]
	}
	if i := p.index(t); i >= 0 {
		return p.few[i]
	}
	return nil
}

func (p *places) index(t Topic) int {
	return slices.IndexFunc(p.few, func(ms *membership) bool { return ms.group.topic == t })
}

func (p *places) add(ms *membership) {
	switch {
	case p.many != nil:
		p.many[ms.group.topic] = ms
	case len(p.few) < fewPlaces:
		p.few = append(p.few, ms)
	default:
		p.many = map[Topic]*membership{ms.group.topic: ms}
		for _, other := range p.few {
			p.many[other.group.topic] = other
		}
		p.few = nil
	}
}

func (p *places) remove(t Topic) {
	if p.many != nil {
		delete(p.many, t)
	} else if i := p.index(t); i >= 0 {
		p.few = slices.Delete(p.few, i, i+1)
	}
}

func (p *places) all() iter.Seq[*membership] {
	if p.many != nil {
		return maps.Values(p.many)
	}
	return slices.Values(p.few)
}

// key returns the place of the member's key, nil without.
func (p *places) key() *membership {
	for ms := range p.all() {
		if ms.group.topic.Kind == Key {
			return ms
		}
	}
	return nil
}
