package servertest

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"
)

// Standby makes and starts a hot standby of a private PostgreSQL, with settings of its own, that ends with the test. It follows at
// once; see [Private.Follows].
func (p *Private) Standby(t testing.TB, settings ...string) *Private {
	t.Helper()
	s := newPrivate(t, p.Name+" standby", p.Kind)
	s.Password, s.program = p.Password, p.program
	dir := ownDir(t)
	run(t, filepath.Join(filepath.Dir(p.program), "pg_basebackup"), "-D", dir+"/data", "-R", "-X", "stream", "--checkpoint=fast", "--no-sync",
		"-d", fmt.Sprintf("host=%s port=%d user=%s password=%s dbname=postgres", p.Host, p.Port, p.User, p.Password))
	s.args = []string{"-D", dir + "/data", "-p", fmt.Sprint(s.Port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=" + dir, "-c", "max_connections=60"}
	for _, set := range settings {
		s.args = append(s.args, "-c", set)
	}
	s.Start(t)
	t.Cleanup(func() { s.Kill(t) })
	return s
}

// Follows waits until the standby s has replayed all that the primary wrote so far.
func (s *Private) Follows(t testing.TB, primary *Private) {
	t.Helper()
	at := primary.Query(t, "kitamae", "SELECT pg_current_wal_lsn()")[0][0]
	for deadline := time.Now().Add(time.Minute); ; <-time.After(20 * time.Millisecond) {
		if s.Query(t, "kitamae", "SELECT pg_last_wal_replay_lsn() >= '"+at+"'::pg_lsn")[0][0] == "t" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the standby has not come to %s", at)
		}
	}
}
