package main

import (
	"cmp"
	"fmt"
	"sync"
)

// A conversation is what a connection sends, over and over: the messages of a chat. It is twice
// as long as the largest window, so that no window has the message that is compressed with it.
type conversation struct {
	first []message
	again []message // the same, after all others
}

// message returns the message of a turn.
func (c *conversation) message(turn int) *message {
	if turn < len(c.first) {
		return &c.first[turn]
	}
	return &c.again[turn%len(c.again)]
}

type conversationKey struct {
	size int
	mode mode
	raw  bool
}

var conversationCache struct {
	mu   sync.Mutex
	made map[conversationKey][]conversation
}

// conversationCount is the number of different conversations.
const conversationCount = 4

// conversations returns the conversations with messages of the given size, for a mode. Connections
// have them in turn.
func conversations(size int, m mode, raw bool) ([]conversation, error) {
	cache, key := &conversationCache, conversationKey{size, m, raw}
	cache.mu.Lock()
	defer cache.mu.Unlock()
	if all := cache.made[key]; all != nil {
		return all, nil
	}
	all := make([]conversation, conversationCount)
	for i := range all {
		if err := all[i].make(i, key); err != nil {
			return nil, fmt.Errorf("compress a conversation: %w", err)
		}
	}
	if cache.made == nil {
		cache.made = make(map[conversationKey][]conversation)
	}
	cache.made[key] = all
	return all, nil
}

func (c *conversation) make(variant int, key conversationKey) error {
	n := 2 << maxWindowBits / key.size
	chat, random := newChat(variant), newRandom(variant)
	payloads := make([]byte, 0, 2*n*key.size) // of both rounds
	for range n {
		payloads = append(payloads, chat.next(key.size)...)
	}
	payloads = append(payloads, payloads...)

	bits := key.mode.WindowBits()
	d, err := newDeflater(cmp.Or(bits, maxWindowBits))
	if err != nil {
		return err
	}
	all := make([]message, 2*n)
	for i := range all {
		at := i * key.size
		payload := payloads[at : at+key.size]
		var compressed []byte
		if key.mode.Compresses() {
			if bits == 0 {
				d.forget()
			}
			if compressed, err = d.deflate(payload); err != nil {
				return err
			}
		}
		all[i] = newMessage(opText, payload, compressed, maskingKey(random, key.raw))
		if bits > 0 {
			all[i].window = payloads[max(at-1<<bits, 0):at]
		}
	}
	c.first, c.again = all[:n], all[n:]
	return nil
}
