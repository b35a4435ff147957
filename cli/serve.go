package cli

import (
	"context"
	"fmt"
	"net"

	"github.com/spf13/cobra"

	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/run"
	"github.com/kitamae/kitamae/serve"
)

func (a *app) serveCommand() *cobra.Command {
	var listen string
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run by the config's schedule, until stopped",
		Long: `Starts a run at each time of the config's schedule, and answers /healthz and /metrics (Prometheus) meanwhile. The config is
read anew for each run. A time whose run is done or under way elsewhere is passed over; one that was missed by less than an hour
when serve starts is made up for. A run that failed in passing is tried twice more. A first SIGTERM ends serve within
seconds: a run under way publishes nothing.`,
		Example: `  kitamae serve
  kitamae serve --listen :9090`,
		Args: args(0, 0, "none"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			j, err := a.load()
			if err != nil {
				return err
			}
			st, err := openState(cmd.Context(), j)
			if err != nil {
				return err
			}
			defer st.Close()
			l, err := net.Listen("tcp", listen)
			if err != nil {
				return fault.Wrap(fault.Config, "serve.listen", "give another address after --listen", err)
			}
			s := &serve.Server{
				Job: j, State: st,
				Run: func(ctx context.Context, occasion string) (*run.Report, error) {
					j, err := a.load()
					if err != nil {
						return nil, err
					}
					return a.drive(ctx, j, wanted{occasion: occasion})
				},
				Log: func(format string, args ...any) { fmt.Fprintf(a.Err, format+"\n", args...) },
			}
			return s.Serve(cmd.Context(), l)
		},
	}
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:8417", "where /healthz and /metrics are answered")
	return c
}
