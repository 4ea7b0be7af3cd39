package main

import (
	"errors"
	"log"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/goyave-contrib/websocket/hub"
)

// kept is how long a job is remembered once it is done.
const kept = time.Hour

var errBusy = errors.New("too many jobs are waiting: try again later")

// Job is sent as JSON to the connections of its user.
type Job struct {
	ID   int `json:"job"`
	Done int `json:"done"` // percent

	user  string
	ended time.Time // when it was done
}

// Jobs are made by users and done by workers. Its methods may be called from any goroutine.
type Jobs struct {
	hub   *hub.Hub
	step  time.Duration // for which a worker works on one percent
	queue chan *Job

	// mu is held while a job is sent, so that its changes are sent in their order. That takes no
	// time: the hub never waits for a client.
	mu   sync.Mutex
	last int // ID
	all  map[int]*Job
}

// NewJobs returns Jobs. The number is how many may wait for a worker.
func NewJobs(h *hub.Hub, waiting int, step time.Duration) *Jobs {
	return &Jobs{hub: h, step: step, queue: make(chan *Job, waiting), all: make(map[int]*Job)}
}

// Add puts a job into the queue and returns its ID. The error is errBusy if there is no
// room.
func (j *Jobs) Add(user string) (id int, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	maps.DeleteFunc(j.all, func(_ int, old *Job) bool { return !old.ended.IsZero() && time.Since(old.ended) > kept })
	job := &Job{ID: j.last + 1, user: user}
	select {
	case j.queue <- job:
	default:
		return 0, errBusy
	}
	j.last = job.ID
	j.all[job.ID] = job
	j.push(job)
	return job.ID, nil
}

// Work does jobs until stop is closed, or until the end of the step that it is at then. Jobs
// that are not done then are lost: an application would keep them in a database.
func (j *Jobs) Work(stop <-chan struct{}) {
	for {
		select {
		case job := <-j.queue:
			for done := 1; done <= 100; done++ {
				select {
				case <-time.After(j.step): // here the work would be done
					j.progress(job, done)
				case <-stop:
					return
				}
			}
		case <-stop:
			return
		}
	}
}

// progress records that so many percent of a job are done, and sends the job.
func (j *Jobs) progress(job *Job, done int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	job.Done = done
	if done == 100 {
		job.ended = time.Now()
	}
	j.push(job)
}

// push sends a job to all connections of its user. If there are none, Welcome sends the
// job to the next one. The caller holds the mutex.
func (j *Jobs) push(job *Job) {
	if err := j.hub.To(hub.Key(job.user)).Send(hub.JSON(job)); err != nil { // possible only with a broker
		log.Printf("job %d: %v", job.ID, err)
	}
}

// Welcome sends all jobs of the user to the member and makes it one of the user's, so that it
// gets all later changes.
func (j *Jobs) Welcome(member *hub.Member, user string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := member.SetKey(user); err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(j.all)) {
		if job := j.all[id]; job.user == user {
			if err := member.Send(hub.JSON(job)); err != nil {
				return err
			}
		}
	}
	return nil
}
