package chaos

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kitamae/kitamae/internal/servertest"
)

// TestDay is a day of faults: run after run with random writes and changes of the schema at the source, and random
// kills and lost connections on the way. Each destination that a run lived to publish equals the source by full
// checksum; at the end of the day all do.
func TestDay(t *testing.T) {
	dice := rand.New(rand.NewPCG(*seed, 11))
	w := newWorld(t, servertest.MariaDB(t), 2000)
	d := &day{world: w, dice: dice}
	var projects []*project
	var plans []*atomic.Pointer[func(int) Fault]
	var proxies []*Proxy
	for _, to := range places {
		plan := &atomic.Pointer[func(int) Fault]{}
		calm := func(int) Fault { return Fault{} }
		plan.Store(&calm)
		proxy := w.behind(t, func(conn int) Fault { return (*plan.Load())(conn) })
		projects, plans, proxies = append(projects, w.project(t, to, proxy)), append(plans, plan), append(proxies, proxy)
	}
	killed, failed, published := 0, 0, 0
	for n := range *days {
		for range 1 + dice.IntN(3) {
			d.change(t)
		}
		for i, p := range projects {
			var o outcome
			switch last := n == *days-1; {
			case !last && dice.IntN(3) == 0:
				o = p.killAfter(t, time.Duration(dice.Int64N(int64(700*time.Millisecond))))
			case !last && dice.IntN(2) == 0:
				faulty := Random(dice.Uint64(), 1<<30, 400_000, Drop, Cut, Stall, None, None)
				plans[i].Store(&faulty)
				o = finish(p.command(t, "kitamae", "run"))
			default:
				o = finish(p.command(t, "kitamae", "run"))
			}
			calm := func(int) Fault { return Fault{} }
			plans[i].Store(&calm)
			proxies[i].Lift() // what a process that is gone left behind at the server does not stay for the day
			switch o.code {
			case -1:
				killed++
			case 0:
				published++
				w.see(t, p, false)
				p.tidy(t)
			case 3:
				failed++
			default:
				t.Fatalf("run %d (seed %d) to %s: code %d after %v:\n%s", n, *seed, p.place.name, o.code, d.done, o.output)
			}
			if n == *days-1 && o.code != 0 {
				t.Errorf("the last run to %s ended with code %d:\n%s", p.place.name, o.code, o.output)
			}
		}
	}
	t.Logf("%d runs to each of %d destinations: %d published, %d killed, %d failed by a fault; changes at the source: %v",
		*days, len(projects), published, killed, failed, d.counts())
}

// day changes the world as a busy team would.
type day struct {
	*world
	dice  *rand.Rand
	added []string // columns of users
	made  int      // how many columns and tables were ever made
	extra []string // tables
	done  []string // what was changed, for the report of a failure
}

func (d *day) counts() map[string]int {
	n := map[string]int{}
	for _, what := range d.done {
		n[what]++
	}
	return n
}

// change makes one change, and takes down the state it leaves.
func (d *day) change(t testing.TB) {
	t.Helper()
	changes := []struct {
		what string
		sql  func() []string
	}{
		{"all rows written anew", func() []string { d.advance(t); return nil }},
		{"rows changed", func() []string {
			k := d.dice.IntN(50) + 2
			return []string{fmt.Sprintf("UPDATE users SET name = concat(coalesce(name, ''), '%d') WHERE mod(id, %d) = 0", k%10, k)}
		}},
		{"rows deleted", func() []string {
			return []string{fmt.Sprintf("DELETE FROM log WHERE mod(id, %d) = 1", 2+d.dice.IntN(40))}
		}},
		{"rows added", func() []string {
			return []string{fmt.Sprintf("INSERT INTO words SELECT 0, concat('x', i) FROM seq WHERE i <= %d", 1+d.dice.IntN(500))}
		}},
		{"column added", d.addColumn},
		{"column dropped", func() []string {
			if len(d.added) == 0 {
				return nil
			}
			c := d.added[0]
			d.added = d.added[1:]
			return []string{"ALTER TABLE users DROP COLUMN " + c}
		}},
		{"column renamed", func() []string {
			if len(d.added) == 0 {
				return nil
			}
			d.made++
			old := d.added[0]
			d.added[0] = fmt.Sprintf("renamed%d", d.made)
			return []string{"ALTER TABLE users RENAME COLUMN " + old + " TO " + d.added[0]}
		}},
		{"column widened", func() []string {
			return []string{fmt.Sprintf("ALTER TABLE log MODIFY memo varchar(%d)", 200+d.dice.IntN(200))}
		}},
		{"column retyped", func() []string {
			types := []string{"decimal(18,4)", "decimal(20,6)", "decimal(24,4)", "varchar(40)"}
			return []string{"ALTER TABLE users MODIFY amount " + types[d.dice.IntN(len(types))]}
		}},
		{"columns reordered", func() []string {
			after := []string{"id", "gen", "name"}
			return []string{"ALTER TABLE users MODIFY born date AFTER " + after[d.dice.IntN(len(after))]}
		}},
		{"table made", func() []string {
			d.made++
			name := fmt.Sprintf("extra%d", d.made)
			d.extra = append(d.extra, name)
			return []string{"CREATE TABLE " + name + " (id int PRIMARY KEY, body text)", "INSERT INTO " + name + " SELECT i, repeat('あ', mod(i, 9)) FROM seq WHERE i < 300"}
		}},
		{"table dropped", func() []string {
			if len(d.extra) == 0 {
				return nil
			}
			name := d.extra[0]
			d.extra = d.extra[1:]
			return []string{"DROP TABLE " + name}
		}},
	}
	c := changes[d.dice.IntN(len(changes))]
	if sql := c.sql(); len(sql) > 0 {
		d.server.Exec(t, d.db, sql...)
	}
	d.done = append(d.done, c.what)
	d.states[fmt.Sprint(d.gen)] = d.contents(t)
}

func (d *day) addColumn() []string {
	d.made++
	name := fmt.Sprintf("added%d", d.made)
	d.added = append(d.added, name)
	kinds := [][2]string{
		{"bigint", "id * 3"}, {"varchar(40)", "concat('値', id)"}, {"date", "date_add('2000-01-01', interval mod(id, 900) day)"},
		{"decimal(10,2)", "mod(id, 999) * 0.25"}, {"varbinary(20)", "unhex(md5(id))"}, {"int NOT NULL DEFAULT 7", "mod(id, 13)"},
	}
	k := kinds[d.dice.IntN(len(kinds))]
	return []string{"ALTER TABLE users ADD COLUMN " + name + " " + k[0], "UPDATE users SET " + name + " = " + k[1] + " WHERE mod(id, 3) <> 0"}
}
