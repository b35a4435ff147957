package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/kitamae/kitamae/bucket"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/run"
)

// indexVariables are where AWS Batch and Kubernetes say which process of an array or an Indexed Job this one is.
var indexVariables = []string{"AWS_BATCH_JOB_ARRAY_INDEX", "JOB_COMPLETION_INDEX"}

func (a *app) shardCommand() *cobra.Command {
	var at string
	index := -1
	c := &cobra.Command{
		Use:   "shard",
		Short: "Do one process's part of a run that several share",
		Long: `Does a part of the run that deploy.shards processes share, on as many machines as there are: an array job of
AWS Batch, an Indexed Job of Kubernetes, or any other way to start a program with a number. All of them do the same: who comes first writes the
plan into the state's bucket, each moves and verifies its own partitions with its share of limits.connections, and who finishes last
publishes everything at once. There is nothing to start before or after them.

Start it again whenever it died: what is done stays done. Twice at once, killed or late, it changes nothing. A scheduled time is one run.`,
		Example: `  kitamae shard --index 0 --scheduled-time 2026-11-29T05:00:00+09:00
  kitamae shard                     # in an array job, which says the number`,
		Args: args(0, 0, "none"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			j, err := a.load()
			if err != nil {
				return err
			}
			if !bucket.Is(j.State) {
				return fault.New(fault.Config, "shard.state", "set state: s3://bucket/folder or gs://bucket/folder", "shards find each other in a bucket, and state: names none")
			}
			if index < 0 {
				if index, err = a.shardIndex(); err != nil {
					return err
				}
			}
			report, err := a.drive(cmd.Context(), j, wanted{occasion: run.Occasion(a.scheduled(at)), do: func(ctx context.Context, req run.Request) (*run.Report, error) {
				return run.Shard(ctx, req, index)
			}})
			var already *run.Already
			switch {
			case errors.As(err, &already) && already.Fault == nil:
				fmt.Fprintln(a.Err, already)
				return nil
			case err == nil && report == nil:
				a.tell("shard %d of %d is done; others are at work", index, j.Deploy.Shards)
			}
			return err
		},
	}
	c.Flags().IntVar(&index, "index", -1, "which shard this is, from 0 (default: what AWS Batch or Kubernetes says)")
	c.Flags().StringVar(&at, "scheduled-time", "", "what this start is for, the same for all shards of a run")
	return c
}

func (a *app) shardIndex() (int, error) {
	for _, name := range indexVariables {
		if text, ok := a.Getenv(name); ok {
			n, err := strconv.Atoi(text)
			return n, fault.Wrap(fault.Config, "shard.index", "give --index", err)
		}
	}
	return 0, &usageError{errors.New("which shard is it? neither --index nor a variable of AWS Batch or Kubernetes says so")}
}
