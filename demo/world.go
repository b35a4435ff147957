package demo

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// world is the service's life: who joins, studies, pays and leaves, day by day.
type world struct {
	rnd   *rand.Rand
	sizes sizes
	out   *writer

	coaches int
	users   []user
	active  [][]int32 // per day, who is a member: indexes of users
}

// user is what other tables need to know of a user; its id is its index + 1.
type user struct {
	first, last int // days of membership; last is serviceDays for members today
	plan        int // an index of plans
	coach       int // an id, 0 for none
}

func (w *world) write() error {
	w.coaches = max(5, w.sizes.users/250)
	for _, step := range []func() error{
		w.writePlans, w.writeCoaches, w.writeUsers, w.writeSubscriptions, w.writeLessons, w.writeLogs,
		w.writeMessages, w.writeTests, w.writeConsents, w.writeNotes, w.writeNews,
	} {
		if err := w.out.ctx.Err(); err != nil {
			return err
		}
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// join decides who is a member when: sign-ups grow steadily, and every month some leave, fewer of the dearer plans.
func (w *world) join() {
	w.users = make([]user, w.sizes.users)
	w.active = make([][]int32, serviceDays)
	for i := range w.users {
		u := &w.users[i]
		share := (float64(i) + w.rnd.Float64()) / float64(len(w.users))
		u.first = min(serviceDays-1, int(serviceDays*math.Sqrt(share)))
		u.plan = pick(w.rnd, []int{0, 0, 1, 1, 1, 1, 2, 2, 2, 3})
		months := 4 + 3*float64(u.plan)
		u.last = min(serviceDays, u.first+7+int(w.rnd.ExpFloat64()*months*30))
		if w.rnd.IntN(10) > 0 {
			u.coach = 1 + w.rnd.IntN(w.coaches)
		}
		for day := u.first; day < u.last; day++ {
			w.active[day] = append(w.active[day], int32(i))
		}
	}
}

// timeline calls f about n times in the order of days, more often on days with more members,
// on days of the week as weights say (from Sunday).
func (w *world) timeline(n int, weights [7]float64, f func(day int, who int)) {
	sum, daily := 0.0, make([]float64, serviceDays)
	for day, members := range w.active {
		daily[day] = float64(len(members)) * weights[weekday(day)] * (0.85 + 0.3*w.rnd.Float64())
		sum += daily[day]
	}
	due, done := 0.0, 0
	for day, members := range w.active {
		due += daily[day] / sum * float64(n)
		for ; done < int(due); done++ {
			// The product of two numbers favours the diligent: the first in the list study most.
			who := int(float64(len(members)) * w.rnd.Float64() * (0.4 + 0.6*w.rnd.Float64()))
			f(day, int(members[who]))
		}
	}
}

func weekday(day int) time.Weekday { return date(day).Weekday() }

func date(day int) time.Time { return time.Unix(openedUnix+int64(day)*86_400, 0).UTC() }

// ymd is a day in Japan.
func ymd(day int) string { return date(day).Format(time.DateOnly) }

// evening is a second of the day in Japan when people study: mornings, noon and mostly evenings.
func (w *world) evening() int {
	hour := pick(w.rnd, []int{6, 7, 7, 8, 12, 12, 13, 17, 18, 19, 20, 20, 21, 21, 21, 22, 22, 22, 23, 23})
	return hour*3600 + w.rnd.IntN(3600)
}

// stamp is a moment of a day in Japan as the application stores it: UTC, with microseconds.
func (w *world) stamp(day, second int) string {
	at := time.Unix(openedUnix+int64(day)*86_400+int64(second)-9*3600, int64(w.rnd.IntN(1_000_000))*1000).UTC()
	return at.Format("2006-01-02 15:04:05.000000")
}

func pick[T any](rnd *rand.Rand, list []T) T { return list[rnd.IntN(len(list))] }

// orNull is v, or null with the given chance in percent.
func orNull(rnd *rand.Rand, percent int, v any) any {
	if rnd.IntN(100) < percent {
		return nil
	}
	return v
}

// tenths is a number with one digit after the point.
func tenths(rnd *rand.Rand, low, high int) float64 {
	return float64(low+rnd.IntN(high-low+1)) / 10
}

// digest looks like a bcrypt hash. It is nobody's.
func (w *world) digest() string {
	const letters = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	b := []byte("$2a$12$")
	for range 53 {
		b = append(b, letters[w.rnd.IntN(len(letters))])
	}
	return string(b)
}

func (w *world) phone() string {
	return fmt.Sprintf("0%d0-%04d-%04d", 7+w.rnd.IntN(3), w.rnd.IntN(10000), w.rnd.IntN(10000))
}
