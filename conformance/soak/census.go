package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// A census counts the resources of the process.
type census struct {
	goroutines  int
	descriptors int // -1 if the system does not tell
	heap        uint64
}

func takeCensus() census {
	return census{goroutines: runtime.NumGoroutine(), descriptors: descriptors(), heap: heap()}
}

func descriptors() int {
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return -1
	}
	return len(open)
}

// heap returns the bytes in use after two garbage collections, the second of which empties the
// pools.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// heapLeft is by how many bytes the heap may be larger at the end than after the warm-up.
const heapLeft = 1 << 20

// checkCensus compares the resources with those at the start. It waits a moment for what ends by
// itself, such as goroutines of net/http.
func (s *soak) checkCensus(before census) {
	var now census
	for range 50 {
		now = takeCensus()
		if now.goroutines <= before.goroutines && now.descriptors <= before.descriptors && now.heap <= before.heap+heapLeft {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if now.goroutines > before.goroutines {
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		s.problems.add("%d goroutines are left, %d were there before:\n%s", now.goroutines, before.goroutines, stacks)
	}
	if now.descriptors > before.descriptors {
		s.problems.add("%d descriptors are open, %d were before", now.descriptors, before.descriptors)
	}
	if now.heap > before.heap+heapLeft {
		s.problems.add("the heap holds %d KiB, %d KiB before", now.heap>>10, before.heap>>10)
	}
	fmt.Printf("at the start and at the end: %d and %d goroutines, %d and %d descriptors, %d and %d KiB\n",
		before.goroutines, now.goroutines, before.descriptors, now.descriptors, before.heap>>10, now.heap>>10)
}

// samples is how often the heap is measured under the load.
const samples = 40

// watchMemory measures the heap repeatedly, at least once a second, until the returned function is
// called. That function returns the sizes in bytes.
func watchMemory(ctx context.Context, length time.Duration) func() []uint64 {
	ctx, stop := context.WithCancel(ctx)
	var watching sync.WaitGroup
	var sizes []uint64
	watching.Go(func() {
		tick := time.NewTicker(min(max(length/samples, 100*time.Millisecond), time.Second))
		defer tick.Stop()
		for begun := time.Now(); ; {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if time.Since(begun) < length {
				sizes = append(sizes, heap())
			}
		}
	})
	return func() []uint64 {
		stop()
		watching.Wait()
		return sizes
	}
}

// checkMemory compares the median sizes of the heap in the first and in the last quarter. The heap
// varies, because it has the current messages and connections, but a leak adds up.
func (s *soak) checkMemory(sizes []uint64) {
	quarter := len(sizes) / 4
	if quarter < 3 {
		fmt.Println("too short to tell whether memory is flat")
		return
	}
	first, last := median(sizes[:quarter]), median(sizes[len(sizes)-quarter:])
	bound := first + first/2 + heapLeft
	fmt.Printf("heap under load, medians of the first and the last quarter of %d samples: %d KiB, %d KiB (at most %d KiB)\n",
		len(sizes), first>>10, last>>10, bound>>10)
	if last > bound {
		s.problems.add("the heap grows: %s KiB", strings.Join(kibs(sizes), " "))
	}
}

func median(sizes []uint64) uint64 { return slices.Sorted(slices.Values(sizes))[len(sizes)/2] }

func kibs(sizes []uint64) (s []string) {
	for _, size := range sizes {
		s = append(s, fmt.Sprint(size>>10))
	}
	return s
}
