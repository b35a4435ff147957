// Command kitamae moves an application database into a warehouse, verified.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/kitamae/kitamae/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(cli.Run(ctx, os.Args[1:], cli.Stdio()))
}
