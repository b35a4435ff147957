package mysql

import (
	"fmt"
	"net/url"
	"strings"
)

// grants is the SQL that makes a user who may do what a run needs and no more, one comment a line. The scheme tells
// MariaDB, which names some rights otherwise, from MySQL.
func grants(u *url.URL) (string, error) {
	made, err := fromURL(u)
	if err != nil {
		return "", err
	}
	spec := made.(*Spec)
	user := fmt.Sprintf("'%s'@'%%'", strings.NewReplacer(`\`, `\\`, "'", "''").Replace(spec.User))
	database := quoteName(strings.NewReplacer("_", `\_`, "%", `\%`).Replace(spec.Database)) // patterns stand there
	lines := []string{
		"-- who reads; choose a password, and a network in place of % where there is one",
		"CREATE USER " + user + " IDENTIFIED BY 'choose-a-password';",
		"-- the tables, and the catalog's lines about them",
		"GRANT SELECT, SHOW VIEW ON " + database + ".* TO " + user + ";",
	}
	if u.Scheme == "mariadb" {
		lines = append(lines,
			"-- the binlog position, by which several connections know that they see one moment (read: snapshot)",
			"GRANT BINLOG MONITOR ON *.* TO "+user+";",
			"-- how far a replica is behind (throttle.replica_lag, read: chunked)",
			"GRANT SLAVE MONITOR ON *.* TO "+user+";")
	} else {
		lines = append(lines,
			"-- the binlog position, by which several connections know that they see one moment (read: snapshot); how far a replica is behind (throttle.replica_lag)",
			"GRANT REPLICATION CLIENT ON *.* TO "+user+";",
			"-- the length of the history list (throttle.history_list, read: chunked); leave it out and that one is not watched",
			"GRANT PROCESS ON *.* TO "+user+";")
	}
	return strings.Join(lines, "\n") + "\n", nil
}
