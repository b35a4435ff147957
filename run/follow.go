package run

import (
	"context"
	"errors"
	"time"
)

// PieceKind says what a [Piece] is.
type PieceKind string

// The pieces of a run. A run holds tables and the commit, a table its partitions and their verification. One that several processes share holds a shard
// of each, with the partitions; who ends the run tells of it, its tables and its commit.
const (
	PieceRun       PieceKind = "run"
	PieceShard     PieceKind = "shard"     // one process's part of a run that several share
	PieceTable     PieceKind = "table"     // one view's reading of a table: it may come again
	PiecePartition PieceKind = "partition" // one try
	PieceVerify    PieceKind = "verify"    // one partition's
	PieceCommit    PieceKind = "commit"
)

// Piece is a stretch of work, for those who follow a run from outside (see [Request.Follow]).
type Piece struct {
	Kind  PieceKind
	Run   string
	Table string // at the destination; "" of a run and a commit
	Task  int    // the partition's number, or the shard's; -1 where it is of none
	// Began is when it did, where that was before it is told.
	Began time.Time
	// Shared says of a run that its pieces are told in several processes.
	Shared bool
}

// StatusVerified is a table's in a [Done]: it arrived whole, and is not published yet.
const StatusVerified Status = "verified"

// Done is what a piece came to.
type Done struct {
	Rows, Bytes int64
	Status      Status // of a run and a table; "" of others, and of a table that starts over
	Err         error
}

// follow tells that a piece begins. Its parts begin under the context it returns; ended tells that it is over.
func (s *Session) follow(ctx context.Context, p Piece) (within context.Context, ended func(Done)) {
	return s.req.follow(ctx, p)
}

func (r Request) follow(ctx context.Context, p Piece) (within context.Context, ended func(Done)) {
	if r.Follow == nil {
		return ctx, func(Done) {}
	}
	return r.Follow(ctx, p)
}

// part is a piece of the table t.
func (t *moving) part(kind PieceKind, task int) Piece {
	return Piece{Kind: kind, Run: t.evident.Run, Table: t.plan.Target.Name, Task: task}
}

// tellShared tells of a table that shards have read.
func (s *Session) tellShared(ctx context.Context, t *moving) {
	p := t.part(PieceTable, -1)
	p.Began = t.evident.ReadFrom
	_, ended := s.follow(ctx, p)
	ended(t.outcome())
}

// followRun is [Request.follow] for the run, in the process that ends it.
func (d *shardRun) followRun(ctx context.Context, r *Report) (within context.Context, ended func(error)) {
	within, done := d.req.follow(ctx, Piece{Kind: PieceRun, Run: r.ID, Task: -1, Began: r.Started, Shared: true})
	return within, func(err error) { done(Done{Rows: r.Rows(), Bytes: r.bytes(), Status: r.Status, Err: err}) }
}

// followShard is [Request.follow] for this process's part.
func (d *shardRun) followShard(ctx context.Context) (within context.Context, ended func(error)) {
	within, done := d.req.follow(ctx, Piece{Kind: PieceShard, Run: d.run, Task: d.index})
	return within, func(err error) {
		var already *Already
		if errors.As(err, &already) {
			err = already.Fault
		}
		done(Done{Err: err})
	}
}

// end tells that the table has come to an end in its epoch, where anybody follows it.
func (t *moving) end() {
	if t.ended != nil {
		t.ended()
	}
}

// outcome is what the table came to in an epoch.
func (t *moving) outcome() Done {
	switch err := t.failed(); {
	case t.mayReturn():
		return Done{Err: err}
	case err != nil:
		return Done{Status: StatusHeldBack, Err: err}
	case t.done:
		return Done{Rows: t.evident.Rows, Bytes: t.evident.Bytes, Status: StatusVerified}
	}
	return Done{Err: t.doubt}
}
