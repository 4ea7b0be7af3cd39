package main

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// A chat makes the messages that one client of a chat sends and receives, as JSON. Two chats from
// the same variant are the same.
type chat struct {
	random *rand.Rand
	now    time.Time
	people []person
	rooms  []string
	recent []string // IDs of messages that may be answered
	common *rand.Zipf
}

type person struct{ id, name string }

func newChat(variant int) *chat {
	c := &chat{random: rand.New(rand.NewPCG(uint64(variant), 7692))}
	c.now = time.Date(2026, time.March, 2, 8, 0, variant, 0, time.UTC)
	c.common = rand.NewZipf(c.random, 1.1, 4, uint64(len(chatWords)-1))
	for _, name := range pick(c.random, chatNames, 8) {
		c.people = append(c.people, person{id: "u_" + c.hex(6), name: name})
	}
	c.rooms = pick(c.random, chatRooms, 3)
	return c
}

// pick returns n of all, in a random order.
func pick(random *rand.Rand, all []string, n int) []string {
	picked := make([]string, n)
	for i, place := range random.Perm(len(all))[:n] {
		picked[i] = all[place]
	}
	return picked
}

// next returns the next message, which has size bytes. Its text fills what the other fields leave.
func (c *chat) next(size int) []byte {
	c.now = c.now.Add(time.Duration(200+c.random.IntN(45_000)) * time.Millisecond)
	from := c.people[c.random.IntN(len(c.people))]
	id := c.id()
	var b strings.Builder
	fmt.Fprintf(&b, `{"type":"message","id":%q,"room":%q,"from":{"id":%q,"name":%q},"at":%q`,
		id, c.rooms[c.random.IntN(len(c.rooms))], from.id, from.name, c.now.Format("2006-01-02T15:04:05.000Z"))
	if size >= 512 {
		if len(c.recent) > 0 && c.random.IntN(3) == 0 {
			fmt.Fprintf(&b, `,"replyTo":%q`, c.recent[c.random.IntN(len(c.recent))])
		}
		if c.random.IntN(4) == 0 {
			fmt.Fprintf(&b, `,"mentions":[%q]`, c.people[c.random.IntN(len(c.people))].id)
		}
		if c.random.IntN(4) == 0 {
			fmt.Fprintf(&b, `,"attachments":[{"kind":"image","url":"https://files.example/%s.webp","width":%d,"height":%d}]`,
				c.hex(32), 16*(20+c.random.IntN(100)), 9*(20+c.random.IntN(100)))
		}
	}
	c.recent = append(c.recent, id)[max(len(c.recent)-5, 0):]
	b.WriteString(`,"text":"`)
	const end = `"}`
	b.WriteString(c.text(size - b.Len() - len(end)))
	b.WriteString(end)
	return []byte(b.String())
}

// id returns an identifier that begins with the time, as in many applications.
func (c *chat) id() string {
	b := binary.BigEndian.AppendUint64(nil, uint64(c.now.UnixMilli())<<16)
	b = binary.BigEndian.AppendUint32(b[:6], c.random.Uint32())
	return hex.EncodeToString(b)
}

func (c *chat) hex(digits int) string {
	b := make([]byte, 0, digits/2+8)
	for len(b) < digits/2 {
		b = binary.BigEndian.AppendUint64(b, c.random.Uint64())
	}
	return hex.EncodeToString(b[:digits/2])
}

// text returns sentences of n bytes.
func (c *chat) text(n int) string {
	var b strings.Builder
	for first := true; b.Len() < n; {
		word := chatWords[c.common.Uint64()]
		switch c.random.IntN(40) {
		case 0:
			word = fmt.Sprint(c.random.IntN(2000))
		case 1:
			word = c.name()
		}
		if first {
			word = strings.ToUpper(word[:1]) + word[1:]
		}
		b.WriteString(word)
		first = c.random.IntN(9) == 0
		if first {
			b.WriteString([]string{".", ".", "!", "?"}[c.random.IntN(4)])
		}
		b.WriteByte(' ')
	}
	return b.String()[:n] // the words are ASCII
}

// name returns a word that is in no dictionary.
func (c *chat) name() string {
	var b strings.Builder
	for range 2 + c.random.IntN(3) {
		b.WriteByte("bcdfghklmnprstvz"[c.random.IntN(16)])
		b.WriteByte("aeiou"[c.random.IntN(5)])
	}
	return b.String()
}

var (
	chatNames = strings.Fields("Ada Alan Barbara Claude Donald Edsger Frances Grace Hedy John Katherine Ken Leslie Linus " +
		"Margaret Niklaus Radia Tim Tony Whitfield")
	chatRooms = strings.Fields("general random support release-2026 design on-call lunch")

	// chatWords are words of English, the more frequent ones first.
	chatWords = strings.Fields(`the to and of a in is it you that for was on are with as be at this have from or one had by
		but not what all were we when your can said there use an each which she do how their if will up other about out
		many then them these so some her would make like him into time has look two more write go see number no way could
		people my than first been call who its now find long down day did get come made may part over new sound take only
		little work know place year live me back give most very after thing our just name good sentence man think say
		great where help through much before line right too mean old any same tell boy follow came want show also around
		form three small set put end does another well large must big even such because turn here why ask went men read
		need land different home us move try kind hand picture again change off play spell air away animal house point
		page letter mother answer found study still learn should world high every near add food between own below country
		plant last school father keep tree never start city earth eye light thought head under story saw left few while
		along might close something seem next hard open example begin life always those both paper together got group
		often run important until children side feet car mile night walk white sea began grow took river four carry state
		once book hear stop without second later miss idea enough eat face watch far really almost let above girl
		sometimes mountain cut young talk soon list song being leave family meeting server deploy branch ticket customer
		update tomorrow yesterday morning please thanks sure maybe sorry agree sounds ready review merge release build
		test failed passed fixed broken message channel link document budget invoice order shipping delivery address
		phone email account password login error timeout retry cache queue database index query report chart sprint
		planning weekend holiday coffee lunch train flight ticket hotel weather rain sunny`)
)
