package run

import "context"

// PieceKind says what a [Piece] is.
type PieceKind string

// The pieces of a run. A run holds tables and the commit, a table its partitions and their verification.
const (
	PieceRun       PieceKind = "run"
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
	Task  int    // the partition's number, -1 where it is of none
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
