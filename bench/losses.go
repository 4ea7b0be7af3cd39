package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// smallLoss is the ratio up to which a loss counts only if the peer was ahead in every round.
const smallLoss = 1.05

// A loss is a comparison in which a peer has a smaller median than this library, when it reads with
// ReadMessage.
type loss struct {
	row
	best   *implementation // the peer with the smallest median
	ours   float64
	bestIs float64
	ahead  int  // how many peers have a smaller median
	clear  bool // the best peer's largest value is smaller than our smallest
}

func (l *loss) ratio() float64 { return l.ours / l.bestIs }

// counts reports whether the loss is more than the spread of the rounds.
func (l *loss) counts() bool { return l.clear || l.ratio() > smallLoss }

// losses returns the losses, the largest first, and the number of all comparisons.
func (r *report) losses() (lost []loss, compared int) {
	for i := range r.Workloads {
		w := &r.Workloads[i]
		for _, col := range w.columns {
			if !col.compared || len(r.cellOf(w, oursName).values(col.key)) == 0 {
				continue
			}
			compared++
			if l, ok := r.loss(row{w, col}); ok {
				lost = append(lost, l)
			}
		}
	}
	slices.SortStableFunc(lost, func(a, b loss) int { return cmp.Compare(b.ratio(), a.ratio()) })
	return lost, compared
}

func (r *report) loss(w row) (loss, bool) {
	own := r.cellOf(w.workload, oursName)
	l := loss{row: w, ours: own.median(w.column.key), bestIs: math.Inf(1)}
	for i := range r.Implementations {
		peer := &r.Implementations[i]
		c := r.cell(w.workload, peer)
		m := c.median(w.column.key)
		if peer.ours || peer.raw || math.IsNaN(m) || m >= l.ours {
			continue
		}
		l.ahead++
		if m < l.bestIs {
			l.best, l.bestIs, l.clear = peer, m, below(c, own, w.column.key)
		}
	}
	return l, l.best != nil
}

// writeLosses writes the losses, in groups that share a reason.
func (r *report) writeLosses(b *strings.Builder) {
	lost, compared := r.losses()
	if compared == 0 {
		return
	}
	b.WriteString("## Where this library loses\n\n")
	if len(lost) == 0 {
		fmt.Fprintf(b, "In none of %d comparisons does a peer have a smaller median than `ReadMessage`.\n\n", compared)
		return
	}
	var small []loss
	groups := make(map[*reason][]loss)
	for _, l := range lost {
		if !l.counts() {
			small = append(small, l)
			continue
		}
		why := l.reason()
		groups[why] = append(groups[why], l)
	}
	fmt.Fprintf(b, "Each row for `ReadMessage` of the tables below is compared with the best peer; raw TCP does not count as a peer. "+
		"In %d of %d comparisons, the peer wins: its median is smaller by more than %.0f %%, or its largest value is smaller "+
		"than our smallest (\"in every round\").\n\n", len(lost)-len(small), compared, (smallLoss-1)*100)
	for i := range reasons {
		r.writeGroup(b, &reasons[i], groups[&reasons[i]])
	}
	r.writeGroup(b, &noReason, groups[&noReason])
	if len(small) == 0 {
		return
	}
	var titles []string
	for _, l := range small {
		title := l.workload.title()
		if l.column.key != serverCPU {
			title += ", " + l.column.title
		}
		titles = append(titles, fmt.Sprintf("%s (%s, %s)", title, l.best.name, ratio(l.ours, l.bestIs)))
	}
	fmt.Fprintf(b, "Within the spread, a peer has the smaller median in: %s.\n\n", strings.Join(titles, "; "))
}

func (r *report) writeGroup(b *strings.Builder, why *reason, lost []loss) {
	if len(lost) == 0 {
		return
	}
	fmt.Fprintf(b, "### %s\n\n", why.title)
	if why.cause != "" {
		fmt.Fprintf(b, "%s\n\n**What to do:** %s\n\n", why.cause, why.advice)
	}
	b.WriteString("| workload | what | ours | lending | best peer | its value | ours ÷ best | peers ahead | in every round |\n" +
		"| --- | --- | ---: | ---: | --- | ---: | ---: | ---: | --- |\n")
	for _, l := range lost {
		clearly := "no"
		if l.clear {
			clearly = "yes"
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s | %d | %s |\n", l.workload.title(), l.column.title, number(l.ours),
			number(r.leastLending(l.row)), l.best.name, number(l.bestIs), ratio(l.ours, l.bestIs),
			l.ahead, clearly)
	}
	b.WriteString("\n")
}

// leastLending returns the smallest median of the ways in which this library lends messages.
func (r *report) leastLending(w row) float64 {
	least := math.NaN()
	for _, way := range lending {
		if m := r.medianOf(w.workload, way.name, w.column.key); m < least || math.IsNaN(least) {
			least = m
		}
	}
	return least
}
