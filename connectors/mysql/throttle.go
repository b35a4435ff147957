package mysql

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/kitamae/kitamae/sqlkit"
)

// newThrottle watches what the spec has limits for, over the control connection.
func (s *Source) newThrottle() *sqlkit.Throttle {
	limits := s.spec.Throttle
	return sqlkit.NewThrottle(
		sqlkit.Gauge{Says: "%.0f threads run at the server (limit %.0f)", Limit: float64(limits.ThreadsRunning), Read: s.threadsRunning},
		sqlkit.Gauge{Says: "%.0f old row versions wait for purge (limit %.0f)", Limit: float64(limits.HistoryList), Read: s.historyList},
		sqlkit.Gauge{Says: "the replica is %.0f s behind (limit %.0f s)", Limit: limits.ReplicaLag.Seconds(), Read: s.replicaLag},
	)
}

// gauge is the number in the answer's last column; known is false for null and no row.
func (s *Source) gauge(ctx context.Context, sql string) (value float64, known bool, err error) {
	res, err := s.control(ctx, sql)
	if err != nil || len(res.Values) == 0 {
		return 0, false, err
	}
	said, ok := text(res, 0, len(res.Fields)-1)
	if !ok {
		return 0, false, nil
	}
	value, err = strconv.ParseFloat(said, 64)
	return value, err == nil, err
}

func (s *Source) threadsRunning(ctx context.Context) (float64, bool, error) {
	return s.gauge(ctx, "SHOW GLOBAL STATUS LIKE 'Threads_running'")
}

func (s *Source) historyList(ctx context.Context) (float64, bool, error) {
	sql := "SELECT COUNT FROM information_schema.INNODB_METRICS WHERE NAME = 'trx_rseg_history_len'"
	if s.mariadb {
		sql = "SHOW GLOBAL STATUS LIKE 'Innodb_history_list_length'"
	}
	value, known, err := s.gauge(ctx, sql)
	if err != nil {
		err = fmt.Errorf("history_list is not watched (PROCESS is needed): %w", err)
	}
	return value, known, err
}

// replicaLag is known on replicas only, and only while they replicate.
func (s *Source) replicaLag(ctx context.Context) (float64, bool, error) {
	if s.role.aurora { // in the cluster's storage there is no replication that SHOW would tell of
		return s.gauge(ctx, "SELECT MAX(REPLICA_LAG_IN_MILLISECONDS) / 1000 FROM information_schema.REPLICA_HOST_STATUS")
	}
	sql, column := "SHOW REPLICA STATUS", "Seconds_Behind_Source"
	if s.mariadb {
		column = "Seconds_Behind_Master"
	}
	res, err := s.control(ctx, sql)
	if err != nil {
		return 0, false, fmt.Errorf("replica_lag is not watched (REPLICATION CLIENT, on MariaDB SLAVE MONITOR, is needed): %w", err)
	}
	for k, f := range res.Fields {
		if string(f.Name) != column || len(res.Values) == 0 {
			continue
		}
		said, ok := text(res, 0, k)
		if !ok {
			return 0, false, nil
		}
		value, err := strconv.ParseFloat(said, 64)
		return value, err == nil, err
	}
	if len(res.Values) > 0 {
		return 0, false, errors.New("replica_lag is not watched: the server does not tell it")
	}
	return 0, false, nil
}
