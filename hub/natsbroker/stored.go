package natsbroker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// maxBatch limits the bytes of one batch. The last message may exceed it.
const maxBatch = 8 << 20

var (
	errOldServer  = errors.New("history and presence need nats-server 2.11 or later")
	errIncomplete = fmt.Errorf("%w: a part of an answer is missing", errAgain)
)

// A stored message is one of a stream.
type stored struct {
	subject string
	seq     uint64
	at      time.Time // by the clock of the server that stored it
	header  nats.Header
	data    []byte
}

// last returns the newest message of a subject, which may have wildcards, nil if there is none. The
// leader of the stream answers, so that everything is in it that was acknowledged before.
func (b *JetStreamBroker) last(ctx context.Context, stream, subject string) (*stored, error) {
	return b.get(ctx, stream, map[string]any{"last_by_subj": subject})
}

// next returns the first message of a subject from a sequence on, as last does.
func (b *JetStreamBroker) next(ctx context.Context, stream, subject string, seq uint64) (*stored, error) {
	return b.get(ctx, stream, map[string]any{"next_by_subj": subject, "seq": seq})
}

func (b *JetStreamBroker) get(ctx context.Context, stream string, request map[string]any) (*stored, error) {
	var response struct {
		Message struct {
			Subject string    `json:"subject"`
			Seq     uint64    `json:"seq"`
			Header  []byte    `json:"hdrs"`
			Data    []byte    `json:"data"`
			Time    time.Time `json:"time"`
		} `json:"message"`
	}
	err := b.call(ctx, "STREAM.MSG.GET."+stream, request, &response)
	if hasCode(err, codeNoMessage) {
		return nil, nil //nolint:nilnil // there is none
	}
	if err != nil {
		return nil, err
	}
	m := response.Message
	s := &stored{subject: m.Subject, seq: m.Seq, at: m.Time, data: m.Data}
	if len(m.Header) > 0 {
		s.header, err = nats.DecodeHeadersMsg(m.Header)
	}
	return s, err
}

// A batchRequest asks for several messages. Any server that keeps the stream answers, and its answer
// shows the stream at one moment, which may be a little earlier.
type batchRequest struct {
	Subject  string   `json:"next_by_subj,omitempty"`
	Seq      uint64   `json:"seq,omitempty"`
	Batch    int      `json:"batch,omitempty"`
	MaxBytes int      `json:"max_bytes,omitempty"`
	LastOf   []string `json:"multi_last,omitempty"`
	UpTo     uint64   `json:"up_to_seq,omitempty"`
}

// batch returns up to n messages of a subject, which may have wildcards, from a sequence on, the oldest
// first. The second result is how many more there are.
func (b *JetStreamBroker) batch(ctx context.Context, stream, subject string, seq uint64, n int) ([]stored, uint64, error) {
	return b.fetch(ctx, stream, batchRequest{Subject: subject, Seq: seq, Batch: max(n, 1), MaxBytes: maxBatch})
}

// batchTo is batch with everything up to a sequence: a server that has not yet applied that is asked again.
func (b *JetStreamBroker) batchTo(ctx context.Context, stream, subject string, seq uint64, n int, upTo uint64) ([]stored, uint64, error) {
	for pause := time.Millisecond; ; pause *= 2 {
		messages, more, err := b.batch(ctx, stream, subject, seq, n)
		if err != nil || more > 0 || max(lastSeq(messages), seq-1) >= upTo {
			return messages, more, err
		}
		if pause > longestLag || !sleep(ctx, pause) {
			return nil, 0, errBehind // or what was there was removed
		}
	}
}

// longestLag is how long a replica is waited for before all is asked anew.
const longestLag = 64 * time.Millisecond

var errBehind = fmt.Errorf("%w: a replica is behind", errAgain)

// lastOf returns the newest message of each subject that matches one of subjects, up to a sequence; 0:
// up to the end. It is errTooMany where there are more than 1024.
func (b *JetStreamBroker) lastOf(ctx context.Context, stream string, upTo uint64, subjects ...string) ([]stored, error) {
	messages, more, err := b.fetch(ctx, stream, batchRequest{LastOf: subjects, UpTo: upTo, MaxBytes: maxBatch})
	if err == nil && more > 0 {
		err = errTooMany
	}
	return messages, err
}

var errTooMany = errors.New("too much for one answer")

func (b *JetStreamBroker) fetch(ctx context.Context, stream string, request batchRequest) ([]stored, uint64, error) {
	body, err := json.Marshal(request)
	if err != nil {
		return nil, 0, err
	}
	type answer struct {
		messages []stored
		more     uint64
	}
	a, err := do(ctx, b, func(ctx context.Context) (a answer, err error) {
		inbox := b.nc.NewInbox()
		sub, err := b.nc.SubscribeSync(inbox)
		if err != nil {
			return a, err
		}
		defer sub.Unsubscribe() //nolint:errcheck // it fails if the connection has ended
		if err := b.nc.PublishRequest(b.apiPrefix+"DIRECT.GET."+stream, inbox, body); err != nil {
			return a, err
		}
		for {
			m, err := sub.NextMsgWithContext(ctx)
			if err != nil {
				return a, err
			}
			switch status := m.Header.Get("Status"); status {
			case "":
				s, err := direct(m)
				if err != nil {
					return a, err
				}
				a.messages = append(a.messages, s)
			case "204": // the end of the batch
				if number(m, jetstream.LastSequenceHeader) != lastSeq(a.messages) {
					return a, errIncomplete
				}
				a.more = number(m, pendingHeader)
				return a, nil
			case "404":
				return a, nil
			case "413":
				return a, errTooMany
			case "503":
				return a, nats.ErrNoResponders
			default:
				return a, fmt.Errorf("the server answered a read with %s %s", status, m.Header.Get("Description"))
			}
		}
	})
	return a.messages, a.more, err
}

const (
	pendingHeader = "Nats-Num-Pending"
	timeHeader    = "Nats-Time-Stamp"
)

// direct returns a message of an answer.
func direct(m *nats.Msg) (stored, error) {
	if m.Header.Get(pendingHeader) == "" {
		return stored{}, errOldServer
	}
	at, err := time.Parse(time.RFC3339Nano, m.Header.Get(timeHeader))
	return stored{
		subject: m.Header.Get(jetstream.SubjectHeader), seq: number(m, jetstream.SequenceHeader),
		at: at, header: m.Header, data: m.Data,
	}, err
}

func number(m *nats.Msg, header string) uint64 {
	n, _ := strconv.ParseUint(m.Header.Get(header), 10, 64)
	return n
}

func lastSeq(messages []stored) uint64 {
	if len(messages) == 0 {
		return 0
	}
	return messages[len(messages)-1].seq
}
