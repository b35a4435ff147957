package run

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/digest"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/state"
)

// doneTask is done/<t>.<k>.json: a partition in the stage, read back and found as it was handed over.
type doneTask struct {
	Receipt  connector.Receipt `json:"receipt"`
	Findings digest.Findings   `json:"findings"` // of the table's sample in these rows
	By       string            `json:"by"`
}

func doneName(table, task int) string { return fmt.Sprintf("done/%d.%d.json", table, task) }

func failedName(table int) string { return fmt.Sprintf("failed/%d.json", table) }

// settled are the names below done/ and failed/.
func (d *shardRun) settled(ctx context.Context) (map[string]bool, error) {
	names := map[string]bool{}
	for _, folder := range []string{"done/", "failed/"} {
		keys, err := d.req.State.List(ctx, d.key(folder))
		if err != nil {
			return nil, err
		}
		for _, key := range keys {
			names[strings.TrimPrefix(key, d.key(""))] = true
		}
	}
	return names, nil
}

// open are the tasks that are not settled: all, or one shard's.
func (p *partPlan) open(settled map[string]bool, of func(shard int) bool) (tasks [][2]int) {
	for i, t := range p.Tables {
		if t.Fault != nil || settled[failedName(i)] {
			continue
		}
		for k, shard := range t.Shard {
			if of(shard) && !settled[doneName(i, k)] {
				tasks = append(tasks, [2]int{i, k})
			}
		}
	}
	return tasks
}

// moving are the plan's tables, staged.
func (p *partPlan) moving() []*moving {
	tables := newMoving(p.Plan, p.Started)
	scan := &connector.Scan{Guarantee: p.Guarantee, Position: p.Position}
	for i, t := range tables {
		t.staged(p.Tables[i].Stage, 0, p.Run, scan, p.Tables[i].Scanned)
	}
	return tables
}

// divided scans the tables as the plan has them. The partitions must be the plan's, to the letter.
func (s *Session) divided(ctx context.Context, p *partPlan) error {
	scan, err := s.src.Scan(ctx, s.scanRequest(p.Plan, all(p.Plan)))
	if err != nil {
		return fmt.Errorf("scan: %w", s.hide(err))
	}
	for i, t := range p.Tables {
		same := slices.EqualFunc(t.Scanned.Partitions, scan.Tables[i].Partitions, func(a, b connector.Partition) bool { return bytes.Equal(a, b) })
		if !same {
			return fault.New(fault.Source, "shard.divided", "run again", "table %s is divided in another way than when the run was planned: its key was changed meanwhile",
				p.Plan.Tables[i].Scan.Table.Ref())
		}
	}
	return nil
}

// work does this shard's tasks that are not done.
func (d *shardRun) work(ctx context.Context, p *partPlan) error {
	settled, err := d.settled(ctx)
	if err != nil {
		return err
	}
	tasks := p.open(settled, func(shard int) bool { return shard == d.index })
	if len(tasks) == 0 {
		return nil
	}
	start, err := d.start(ctx)
	if err != nil {
		return err
	}
	connections := share(d.req.Job.Limits.Connections, p.Shards, d.index)
	s, err := d.open(ctx, connections)
	if err != nil {
		return err
	}
	s.observe(Event{Kind: Opened, Plan: &Plan{Source: p.Plan.Source, Destination: p.Plan.Destination}})
	s.observe(Event{Kind: Planned, Plan: p.Plan})
	if err := s.divided(ctx, p); err != nil {
		return errors.Join(err, s.Close())
	}
	s.observe(Event{Kind: Scanned, Plan: p.Plan, Guarantee: string(p.Guarantee)})
	tables := p.moving()
	working, inner := errgroup.WithContext(ctx)
	working.SetLimit(connections + 1) // one is read back while the others are read
	for _, task := range tasks {
		working.Go(func() error {
			if err := inner.Err(); err != nil {
				return err
			}
			t := tables[task[0]]
			done, err := d.tries(inner, s, p, t, task[1], start)
			if err != nil {
				return d.tableFault(inner, s, t, err)
			}
			return d.note(inner, doneName(t.index, task[1]), done)
		})
	}
	return errors.Join(working.Wait(), s.Close())
}

// start makes this process the n-th of its shard.
func (d *shardRun) start(ctx context.Context) (n int, err error) {
	for ; ; n++ {
		_, err := d.req.State.Put(ctx, d.key(fmt.Sprintf("starts/%d.%d", d.index, n)), []byte(d.holder()), "")
		if !errors.Is(err, state.ErrConflict) {
			return n, err
		}
	}
}

// tries is task, again after a pause where its fault may pass, as often as the table's settings say.
func (d *shardRun) tries(ctx context.Context, s *Session, p *partPlan, t *moving, task, start int) (done doneTask, err error) {
	for try := 0; ; try++ {
		done, err = d.task(ctx, s, p, t, task, start)
		if !fault.Retryable(err) || t.failed() != nil || try == t.plan.retries {
			return done, err
		}
		s.observe(Event{Kind: Retrying, Table: t.index, Err: err})
		if err := s.pause(ctx, min(firstReturn<<try, lastReturn)); err != nil {
			return done, err
		}
	}
}

// task brings one partition into its table's stage, and reads it back.
func (d *shardRun) task(ctx context.Context, s *Session, p *partPlan, t *moving, task, start int) (done doneTask, err error) {
	if err := t.failed(); err != nil {
		return done, err
	}
	// no number is used by two processes: who writes late must not write over what counts
	receipt, err := s.task(ctx, t, start*len(t.scanned.Partitions)+task, t.scanned.Partitions[task])
	if err != nil {
		return done, err
	}
	done = doneTask{Receipt: receipt, By: d.holder()}
	check := newCheck(t)
	if check == nil {
		return done, nil
	}
	if check.index, err = p.Tables[t.index].index(t); err != nil {
		return done, err
	}
	if check.index != nil {
		defer check.index.Release()
	}
	verifying, ended := s.follow(ctx, t.part(PieceVerify, receipt.Task))
	err = s.compare(verifying, t, check, receipt)
	ended(Done{Rows: receipt.Rows, Err: err})
	if err != nil {
		return done, fmt.Errorf("table %s: %w", t.plan.Scan.Table.Ref(), err)
	}
	if check.index != nil {
		done.Findings = check.index.Findings()
	}
	return done, nil
}

// note writes down what became of a task or a table, unless that is written already: by a twin, or another of the table's tasks.
func (d *shardRun) note(ctx context.Context, name string, what any) error {
	value, err := json.Marshal(what)
	if err == nil {
		_, err = d.req.State.Put(ctx, d.key(name), value, "")
	}
	if errors.Is(err, state.ErrConflict) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("write down %s: %w", name, err)
	}
	return nil
}

// index looks for the sample that was taken before the first read; nil without one.
func (p *partTable) index(t *moving) (*digest.RowIndex, error) {
	if p.Sample == nil {
		return nil, nil
	}
	sample, err := readSample(p.Sample)
	if err != nil {
		return nil, err
	}
	defer sample.Release()
	return digest.NewRowIndex(sample, t.plan.Target.Key)
}

// tableFault holds the table back for a fault that is its own, as Session.epoch does; one that is everybody's, it returns.
func (d *shardRun) tableFault(ctx context.Context, s *Session, t *moving, err error) error {
	kind := fault.From(err).Kind
	if ctx.Err() != nil || fault.HasCode(err, codeSnapshotLost) || kind == fault.Destination || kind == fault.Interrupted {
		return err
	}
	if t.failed() == nil {
		t.fail(err)
		s.observe(Event{Kind: HeldBack, Table: t.index, Err: err})
	}
	return d.note(ctx, failedName(t.index), failureOf(err))
}
