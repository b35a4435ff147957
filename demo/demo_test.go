package demo

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// tables are all of the application's, with the least rows of each for 20,000 in total.
func tables() map[string]int {
	return map[string]int{
		"plans": 4, "coaches": 5, "users": 400, "subscriptions": 400, "payments": 400, "lessons": 1300, "study_logs": 11000, "messages": 3000,
		"evaluations": 1000, "test_results": 500, "consents": 800, "notes": 350, "お知らせ": 40, "app_settings": 4,
	}
}

func create(t *testing.T, seed uint64) *sql.DB {
	t.Helper()
	path := filepath.Join(t.TempDir(), "app.db")
	last := 0
	progress := func(done, total int) {
		if done < last || done > total {
			t.Errorf("progress went from %d to %d of %d", last, done, total)
		}
		last = done
	}
	if err := Create(t.Context(), path, Options{Rows: 20_000, Seed: seed, Progress: progress}); err != nil {
		t.Fatal(err)
	}
	if last != 20_000 {
		t.Errorf("progress ended at %d", last)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func number(t *testing.T, db *sql.DB, query string) (n int) {
	t.Helper()
	if err := db.QueryRow(query).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

func TestCreate(t *testing.T) {
	db := create(t, 1)
	total := 0
	for name, least := range tables() {
		n := number(t, db, "SELECT count(*) FROM "+name)
		total += n
		if n < least {
			t.Errorf("%s has %d rows, want %d or more", name, n, least)
		}
	}
	if total < 18_000 || total > 22_000 {
		t.Errorf("%d rows in total", total)
	}
	if n := number(t, db, "SELECT count(*) FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite%'"); n != len(tables()) {
		t.Errorf("%d tables, the test knows %d", n, len(tables()))
	}
	if n := number(t, db, "SELECT count(*) FROM pragma_foreign_key_check"); n != 0 {
		t.Errorf("%d broken references", n)
	}
	for _, q := range []string{ // what makes it look like life
		"SELECT count(*) FROM subscriptions WHERE canceled_on IS NOT NULL",
		"SELECT count(*) FROM users WHERE phone IS NULL",
		"SELECT count(*) FROM users WHERE json_extract(settings, '$.locale') = 'ja'",
		"SELECT (SELECT count(*) FROM study_logs WHERE studied_on >= '2026-03-01') > 2 * (SELECT count(*) FROM study_logs WHERE studied_on < '2025-01-01')",
		"SELECT (SELECT count(*) FROM study_logs WHERE strftime('%w', studied_on) = '2') > (SELECT count(*) FROM study_logs WHERE strftime('%w', studied_on) = '6')",
	} {
		if number(t, db, q) == 0 {
			t.Errorf("nothing: %s", q)
		}
	}
	if n := number(t, db, "SELECT count(*) FROM study_logs l JOIN users u ON u.id = l.user_id WHERE l.studied_on < date(u.created_at, '-1 day')"); n != 0 {
		t.Errorf("%d studied before joining", n)
	}
}

// fingerprint hashes every value of every table.
func fingerprint(t *testing.T, db *sql.DB) string {
	t.Helper()
	h := sha256.New()
	for _, name := range []string{"plans", "coaches", "users", "subscriptions", "payments", "lessons", "study_logs", "messages", "evaluations",
		"test_results", "consents", "notes", "お知らせ", "app_settings"} {
		rows, err := db.Query("SELECT * FROM " + name)
		if err != nil {
			t.Fatal(err)
		}
		columns, _ := rows.Columns()
		values, dest := make([]any, len(columns)), make([]any, len(columns))
		for i := range dest {
			dest[i] = &values[i]
		}
		for rows.Next() {
			if err := rows.Scan(dest...); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(h, "%v\n", values)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

func TestSeedDecides(t *testing.T) {
	first, again, other := fingerprint(t, create(t, 7)), fingerprint(t, create(t, 7)), fingerprint(t, create(t, 8))
	if first != again {
		t.Error("one seed made two databases")
	}
	if first == other {
		t.Error("two seeds made one database")
	}
}

func TestInterruptedLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	err := Create(ctx, filepath.Join(dir, "app.db"), Options{Rows: 50_000, Progress: func(int, int) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Create = %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

func TestReplaces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	for _, rows := range []int{2_000, 1_000} {
		if err := Create(t.Context(), path, Options{Rows: rows}); err != nil {
			t.Fatal(err)
		}
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("left %v", left)
	}
}
