package postgres

import (
	"net/url"
	"strings"
)

// grants is the SQL that makes a user who may do what a run needs and no more, one comment a line.
func grants(u *url.URL) (string, error) {
	made, err := fromURL(u)
	if err != nil {
		return "", err
	}
	spec := made.(*Spec)
	user := ident(spec.User)
	lines := []string{
		"-- who reads; choose a password",
		"CREATE ROLE " + user + " LOGIN PASSWORD 'choose-a-password';",
		"-- what connects can be refused to others by REVOKE CONNECT … FROM PUBLIC",
		"GRANT CONNECT ON DATABASE " + ident(spec.Database) + " TO " + user + ";",
	}
	for _, schema := range spec.Schemas {
		lines = append(lines,
			"-- the tables, with the right to look names up beside them",
			"GRANT USAGE ON SCHEMA "+ident(schema)+" TO "+user+";",
			"GRANT SELECT ON ALL TABLES IN SCHEMA "+ident(schema)+" TO "+user+";",
			"-- tables made later; run it as who makes them",
			"ALTER DEFAULT PRIVILEGES IN SCHEMA "+ident(schema)+" GRANT SELECT ON TABLES TO "+user+";")
	}
	lines = append(lines,
		"-- how many sessions are active (throttle.active_sessions, read: chunked); leave it out and only its own are seen",
		"GRANT pg_read_all_stats TO "+user+";")
	return strings.Join(lines, "\n") + "\n", nil
}
